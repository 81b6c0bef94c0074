"""Confidence interval for the mean of values between 0 and a known ceiling, for any distribution.

Used for samples in which all values are equal: a bootstrap interval would have width zero.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy.special import rel_entr

from zoo.results.log import CertificationRow, Provenance
from zoo.smoothing.named_rules import FIXED
from zoo.smoothing.radius import certified_radius


def chernoff_hoeffding_interval(
    values_N: npt.NDArray[np.float64], *, ceiling: float, confidence: float
) -> tuple[float, float]:
    """Two-sided interval with coverage of at least `confidence` for the mean of independent values in [0, ceiling].

    The interval contains every mean m with KL(sample mean, m) of at most `log(2 / (1 - confidence)) / N`, where both
    means are divided by the ceiling. If all values equal the ceiling, the lower end is the exact Clopper-Pearson bound.
    Source: Hoeffding 1963, Theorem 1, equation 2.1.
    """
    if ceiling == 0:
        return 0.0, 0.0
    sample_mean = min(1.0, float(values_N.mean()) / ceiling)
    max_divergence = math.log(2 / (1 - confidence)) / len(values_N)
    low, high = _smallest_mean(sample_mean, max_divergence), 1 - _smallest_mean(1 - sample_mean, max_divergence)
    return ceiling * low, ceiling * high


def radius_ceiling(rows: Sequence[CertificationRow]) -> float | None:
    """The largest radius that a row of this log can have, on the [0, 1] pixel scale.

    None if the log does not record sigma, n and alpha.
    """
    provenances = {row.provenance for row in rows}
    if None in provenances:
        return None
    return max(_ceiling(provenance) for provenance in provenances if provenance is not None)


def _ceiling(provenance: Provenance) -> float:
    """The radius if all n draws agree. A rule that determines n while drawing allows every bound below 1."""
    if provenance.sigma == 0:
        return 0.0
    if provenance.stopping == FIXED:
        all_agree = replace(provenance, count_a=provenance.n, count_b=0)
        return all_agree.proof_by_counts(alpha=provenance.alpha).radius or 0.0
    return certified_radius(math.nextafter(1.0, 0.0), provenance.sigma)


def _smallest_mean(sample_mean: float, max_divergence: float) -> float:
    """The smallest m in [0, sample_mean] with KL(sample_mean, m) of at most `max_divergence`."""
    from scipy.optimize import brentq  # takes half a second, and samples of equal values are rare

    def excess(mean: float) -> float:
        return float(rel_entr(sample_mean, mean) + rel_entr(1 - sample_mean, 1 - mean)) - max_divergence

    smallest = sys.float_info.min
    if sample_mean <= smallest or excess(smallest) <= 0:
        return 0.0
    return float(brentq(excess, smallest, sample_mean, xtol=1e-12))
