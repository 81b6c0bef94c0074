"""Tests on the images that the log and the audit both certified with independent noise."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats
from scipy.special import betaincinv, ndtri

from zoo.results.multiple_testing import POWER, num_permutations

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PairedTest:
    """One-sided tests on the same M = K images: `claimed_M` by the log, `audited_K` by the audit; larger is better.

    If the log is correct, both values of an image are results of one procedure under independent noise. They are then
    exchangeable, so the tests are exact.
    """

    claimed_M: Floats
    audited_K: Floats

    @property
    def min_p_value(self) -> float:
        """The smallest p-value that any values can give."""
        return float(0.5 ** len(self.claimed_M))

    def share_p_value(self) -> float:
        """The p-value for values 0 and 1.

        It is the probability that at least as many of the images that differ are better in the log.

        Source: the one-sided exact test of McNemar 1947.
        """
        better, worse = self._num_better, self._num_worse
        return float(stats.binomtest(better, better + worse, alternative="greater").pvalue) if better else 1.0

    def mean_p_value(self, *, level: float, generator: np.random.Generator) -> float:
        """The p-value of the mean: the share of exchanges within pairs that give the log at least as large a lead.

        Source: Fisher 1935, section 21.
        """
        test = stats.permutation_test(
            (self.claimed_M, self.audited_K),
            lambda claimed, audited, axis: np.mean(claimed - audited, axis=axis),
            permutation_type="samples",
            alternative="greater",
            n_resamples=num_permutations(level),
            vectorized=True,
            batch=1000,
            rng=generator,
        )
        return float(test.pvalue)

    def detectable_share(self, level: float) -> float | None:
        """The smallest overstatement of a share that the test at `level` detects with probability 90 %.

        Noise is assumed to make as many images better in the log as it made worse. None if the detectable overstatement
        is larger than the claim.
        """
        num, noise = len(self.claimed_M), self._num_worse
        overstated = 1
        while overstated <= num and stats.binom.sf(overstated + noise - 1, overstated + 2 * noise, 0.5) > level:
            overstated += 1
        if overstated > num:
            return None
        share = float(betaincinv(overstated, num - overstated + 1, POWER))
        return share if share <= self.claimed_M.mean() else None

    def detectable_mean(self, level: float) -> float:
        """The smallest detectable overstatement of a mean, if it is the same for all images; normal approximation."""
        error = float(np.std(self.claimed_M - self.audited_K)) / math.sqrt(len(self.claimed_M))
        return float(ndtri(1 - level) + ndtri(POWER)) * error

    @property
    def _num_better(self) -> int:
        return int((self.claimed_M > self.audited_K).sum())

    @property
    def _num_worse(self) -> int:
        return int((self.claimed_M < self.audited_K).sum())
