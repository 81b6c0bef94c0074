"""Significance, power and Holm's correction for the tests of a log's claims."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

SIGNIFICANCE = 0.01
"""Chance that an audit refutes an honest checkpoint: half of it for its claims, half for its rows."""
POWER = 0.9
"""Chance that a test refutes an overstatement of the size it reports as detectable."""
MIN_PERMUTATIONS = 999


def num_permutations(level: float) -> int:
    """Random permutations enough for a p-value of a fifth of `level`; one of B permutations is at least 1 / (B + 1)."""
    return max(MIN_PERMUTATIONS, math.ceil(5 / level))


def holm_adjusted(p_values: Sequence[float]) -> npt.NDArray[np.float64]:
    """The adjusted p-values: refuting those that are at most a significance refutes any true hypothesis with a chance
    of at most this significance, however they depend on one another.

    Source: Holm 1979; statsmodels' `multipletests(p_values, method="holm")`, which collects garbage at every call.
    """
    order = np.argsort(p_values)
    factors = np.arange(len(p_values), 0, -1)
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(factors * np.asarray(p_values)[order]))
    return adjusted
