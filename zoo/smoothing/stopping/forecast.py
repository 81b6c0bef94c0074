"""Forecasts of the votes after all draws, by which rules decide when to stop. No claim rests on a forecast."""

from __future__ import annotations

import numpy as np
from scipy.special import betaincinv

from zoo.smoothing.stopping.rule import Tallies
from zoo.smoothing.tangent_bets import Floats


def favourable_votes(tallies: Tallies, *, max_n: int, level: float) -> tuple[Floats, Floats]:
    """The expected votes for A and for b after `max_n` draws, at the favourable ends of the bounds on p_A and p_b.

    Shapes: `(M,)`. The Clopper-Pearson bounds are wrong with probability at most `level` each, at a single look.
    """
    a_M, b_M, num_M = tallies.counts_a_M, tallies.counts_b_M, tallies.nums_M
    with np.errstate(invalid="ignore"):
        p_a_M = np.where(a_M == num_M, 1.0, betaincinv(a_M + 1, num_M - a_M, 1 - level))
        p_b_M = np.where(b_M == 0, 0.0, betaincinv(b_M, num_M - b_M + 1, level))
    remaining_M = (max_n - num_M).astype(np.float64)
    return a_M + remaining_M * p_a_M, b_M + remaining_M * p_b_M  # p_b is at most 1 - p_a, as b is at most n - a
