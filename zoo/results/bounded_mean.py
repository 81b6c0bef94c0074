"""An interval for the mean of numbers between 0 and a known ceiling, whatever their distribution is.

For samples in which all numbers are equal, where resampling would give an interval of width zero.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import rel_entr

from zoo.results.log import CertificationRow, Provenance
from zoo.smoothing.bounds import clopper_pearson_lower
from zoo.smoothing.named_rules import FIXED
from zoo.smoothing.radius import certified_radius


def chernoff_hoeffding_interval(
    values_N: npt.NDArray[np.float64], *, ceiling: float, confidence: float
) -> tuple[float, float]:
    """Two-sided interval, at least at `confidence`, for the mean behind independent values in [0, ceiling].

    It holds every mean m whose relative entropy KL(mean of the values, m), both over the ceiling, is at most
    `log(2 / (1 - confidence)) / N`. Where all values are at the ceiling its lower end is the exact one of Clopper and
    Pearson. Source: Hoeffding 1963, Theorem 1, equation 2.1.
    """
    if ceiling == 0:
        return 0.0, 0.0
    share = min(1.0, float(values_N.mean()) / ceiling)
    most = math.log(2 / (1 - confidence)) / len(values_N)
    return ceiling * _least_mean(share, most), ceiling * (1 - _least_mean(1 - share, most))


def radius_ceiling(rows: Sequence[CertificationRow]) -> float | None:
    """The largest radius that a row of this log could have had, on the [0, 1] pixel scale; None if the log does not
    say its sigma, n and alpha."""
    provenances = {row.provenance for row in rows}
    if None in provenances:
        return None
    return max(_ceiling(provenance) for provenance in provenances if provenance is not None)


def _ceiling(provenance: Provenance) -> float:
    """All n draws agree; under a rule whose n is found while drawing, no bound below 1 is ruled out beforehand."""
    if provenance.sigma == 0:
        return 0.0
    if provenance.bound is not None:
        all_agree = replace(provenance, count_a=provenance.n, count_b=0)
        return all_agree.proof_by_counts(alpha=provenance.alpha).radius or 0.0
    n, largest = provenance.n, math.nextafter(1.0, 0.0)
    p_a = clopper_pearson_lower(n, n, provenance.alpha) if provenance.stopping == FIXED else largest
    return certified_radius(min(p_a, largest), provenance.sigma) if p_a > 0.5 else 0.0


def _least_mean(share: float, most: float) -> float:
    """The smallest m up to `share` with KL(share, m) of at most `most`."""

    def excess(mean: float) -> float:
        return float(rel_entr(share, mean) + rel_entr(1 - share, 1 - mean)) - most

    smallest = sys.float_info.min
    if share <= smallest or excess(smallest) <= 0:
        return 0.0
    return float(brentq(excess, smallest, share, xtol=1e-12))
