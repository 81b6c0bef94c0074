"""Tests that compare the images that only the log certified with those that only the audit certified."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats
from scipy.special import betaincinv, betaln, ndtri

from zoo.results.multiple_testing import POWER, num_permutations

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class UnpairedTest:
    """One-sided tests on M images of the log, `claimed_M`, and K other images of the audit, `audited_K`.

    Larger values are better. If the log is correct and its images are in effect a random sample of the test set, every
    choice of M among the M + K values is equally likely, so the tests are exact. A log of selected images, such as the
    first ones of the test set, can be refuted because of its selection.
    """

    claimed_M: Floats
    audited_K: Floats

    @property
    def min_p_value(self) -> float:
        """The smallest p-value that any values can give: 1 / (number of choices of K among M + K)."""
        num_log, num_audit = len(self.claimed_M), len(self.audited_K)
        return (num_log + num_audit + 1) * math.exp(betaln(num_log + 1, num_audit + 1))

    def share_p_value(self) -> float:
        """The p-value for values 0 and 1: the probability that at most as many of all ones are in the audit.

        Source: Fisher's exact test.
        """
        return float(self._p_value_of(np.array([self.audited_K.sum()]))[0])

    def mean_p_value(self, *, level: float, generator: np.random.Generator) -> float:
        """The p-value of the mean: the share of choices that give the log at least as large a lead.

        Source: Fisher 1935, section 21; Pitman 1937.
        """
        test = stats.permutation_test(
            (self.claimed_M, self.audited_K),
            lambda claimed, audited, axis: np.mean(claimed, axis=axis) - np.mean(audited, axis=axis),
            permutation_type="independent",
            alternative="greater",
            n_resamples=num_permutations(level),
            vectorized=True,
            batch=1000,
            rng=generator,
        )
        return float(test.pvalue)

    def detectable_share(self, level: float) -> float | None:
        """The smallest overstatement of a share that the test at `level` detects with probability 90 %.

        It depends on the log's share. None if not even an audit without any success would refute the claim.
        """
        num_audit = len(self.audited_K)
        refuting = np.flatnonzero(self._p_value_of(np.arange(num_audit)) <= level)
        if len(refuting) == 0:
            return None
        most = int(refuting[-1])
        true_share = float(betaincinv(most + 1, num_audit - most, 1 - POWER))
        return max(0.0, float(self.claimed_M.mean()) - true_share)

    def detectable_mean(self, level: float) -> float:
        """The smallest overstatement of a mean that is detected with probability 90 %; normal approximation."""
        error = math.sqrt(self.claimed_M.var() / len(self.claimed_M) + self.audited_K.var() / len(self.audited_K))
        return float(ndtri(1 - level) + ndtri(POWER)) * error

    def _p_value_of(self, num_audited: npt.NDArray[Any]) -> Floats:
        """The p-value for each possible number of ones in the audit."""
        num_log, num_audit = len(self.claimed_M), len(self.audited_K)
        ones = self.claimed_M.sum() + num_audited
        p_values: Floats = stats.hypergeom.cdf(num_audited, num_log + num_audit, ones, num_audit)
        return p_values
