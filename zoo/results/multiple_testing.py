"""Significance, power and Holm's correction for the tests of a log's claims."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

SIGNIFICANCE = 0.01
"""Probability that an audit refutes a correct checkpoint: half of it for the claims, half for the rows."""
POWER = 0.9
"""Probability that a test refutes an overstatement of the size that it reports as detectable."""
MIN_PERMUTATIONS = 999


def num_permutations(level: float) -> int:
    """The number of random permutations that allows a p-value of `level` / 5.

    With B permutations the p-value is at least 1 / (B + 1).
    """
    return max(MIN_PERMUTATIONS, math.ceil(5 / level))


def holm_adjusted(p_values: Sequence[float]) -> npt.NDArray[np.float64]:
    """The p-values, adjusted by Holm's method.

    Refuting the hypotheses whose adjusted p-value is at most a significance refutes any true hypothesis with a
    probability of at most this significance, for any dependence between the tests.
    Source: Holm 1979. statsmodels' `multipletests(p_values, method="holm")` gives the same numbers, but runs the
    garbage collector at every call.
    """
    order = np.argsort(p_values)
    factors = np.arange(len(p_values), 0, -1)
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(factors * np.asarray(p_values)[order]))
    return adjusted
