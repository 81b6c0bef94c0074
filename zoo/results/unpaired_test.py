"""Tests of the images that only the log certified against those that only the audit did."""

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
    """Values of M images by the log, `claimed_M`, and of K others by the audit, `audited_K`; larger is better.

    Of an honest log whose images are as good as drawn at random from the test set, any M of the M + K values might have
    been the log's: the tests are exact. A log of chosen images, such as the first ones, can be refuted for its choice.
    """

    claimed_M: Floats
    audited_K: Floats

    @property
    def min_p_value(self) -> float:
        """No test gives less, whatever the values are: one of all choices of K among M + K."""
        num_log, num_audit = len(self.claimed_M), len(self.audited_K)
        return (num_log + num_audit + 1) * math.exp(betaln(num_log + 1, num_audit + 1))

    def share_p_value(self) -> float:
        """Of values 0 and 1: the chance that as few of all ones fall to the audit. Source: Fisher's exact test."""
        return float(self._p_value_of(np.array([self.audited_K.sum()]))[0])

    def mean_p_value(self, *, level: float, generator: np.random.Generator) -> float:
        """The share of choices that give the log as large a lead. Source: Fisher 1935, section 21; Pitman 1937."""
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
        """The smallest overstated share that the test at `level` would reveal with a chance of 90 %, given the log's
        share. None where not even an audit without any success would refute it.
        """
        num_audit = len(self.audited_K)
        refuting = np.flatnonzero(self._p_value_of(np.arange(num_audit)) <= level)
        if len(refuting) == 0:
            return None
        most = int(refuting[-1])
        true_share = float(betaincinv(most + 1, num_audit - most, 1 - POWER))
        return max(0.0, float(self.claimed_M.mean()) - true_share)

    def detectable_mean(self, level: float) -> float:
        """As `detectable_share`, of a mean; normal approximation."""
        error = math.sqrt(self.claimed_M.var() / len(self.claimed_M) + self.audited_K.var() / len(self.audited_K))
        return float(ndtri(1 - level) + ndtri(POWER)) * error

    def _p_value_of(self, num_audited: npt.NDArray[Any]) -> Floats:
        """The p-value had the audit found each of these numbers of ones."""
        num_log, num_audit = len(self.claimed_M), len(self.audited_K)
        ones = self.claimed_M.sum() + num_audited
        p_values: Floats = stats.hypergeom.cdf(num_audited, num_log + num_audit, ones, num_audit)
        return p_values
