"""Anytime-valid test that the selected class leads every other class by a gap.

The radius r is certified if Phi^-1(p_A) - Phi^-1(p_b) >= 2 r / sigma for every other class b (the paper's equation 2).
For one class b and the gap d = 2 r / sigma, the null hypothesis is

    p_A <= g(p_b),  g(q) = Phi(Phi^-1(q) + d).

g is concave, because it is a ROC curve. A tangent of g, with slope s and intercept h, therefore lies above it, and
p_A - s p_b - h <= 0 under the null. A bet on the tangent gains 1 - h at a draw that votes for A, loses s + h at one
that votes for b, and loses h at any other. Its mean is p_A - s p_b - h. With a stake of at most 1 / (s + h) the wealth
stays nonnegative, and under the null it is a supermartingale. So is the mean wealth of several bets with fixed
weights. By Ville's inequality it ever reaches 1 / alpha with probability at most alpha.

For the votes a of A and n draws in total, the wealth decreases in the votes of b. The most frequent other class
therefore has the least wealth of all classes, including those without a vote, and it is the only class to test. Alpha
is not split over the classes: if the radius is wrong, the null holds for some class, and that class's wealth alone has
to reach 1 / alpha for an error.

For a known alternative (p_A, p_b) the best null point is the projection of the alternative onto the null (in KL
divergence). The likelihood ratio to this point is a bet on the tangent at this point. Tangents and stakes therefore
contain the best test of every alternative.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

from zoo.errors import CertificationError
from zoo.smoothing.arguments import checked_radius, checked_sigma
from zoo.smoothing.bounds import ROUNDING_UP

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64] | Floats

# The stakes, as odds of their share of the largest stake. Small stakes suit alternatives near the null and long runs.
STAKE_ODDS = np.exp(np.arange(-6.0, 5.0))
# The weights of the stakes: most for a stake of one half.
STAKE_WEIGHTS = np.where(STAKE_ODDS < 1, STAKE_ODDS**0.5, STAKE_ODDS**-0.2)
# The smaller the stake, the more tangents: ceil(TANGENTS * share^-FINENESS), at points q from the largest q down to
# exp(-DEPTH) of it.
TANGENTS, FINENESS, DEPTH = 8, 0.25, 4.0
# Weight of the tangent at the largest q, where A and b have all votes. The others are weighted in proportion to q.
CORNER_WEIGHT = 0.15
# Above this gap p_A exceeds 1 - 1e-15: no number of draws shows it.
LARGEST_GAP = 16.0
# More than the rounding error of a tangent, relative to its terms.
TANGENT_SLACK = 1e-12
# Limits the memory of the intermediate results to half a megabyte.
LOOKS_PER_BLOCK = 512


@dataclass(frozen=True, slots=True)
class Bets:
    """The logarithms of weight and wealth factors of J bets, shape `(J,)` each.

    `log_a` is the factor of a draw for A, `log_b` of a draw for b, and `log_rest` of any other draw.
    """

    log_weight: Floats
    log_a: Floats
    log_b: Floats
    log_rest: Floats


def gap_of(radius: float, sigma: float) -> float:
    """The gap Phi^-1(p_A) - Phi^-1(p_b) that `radius` requires: 2 radius / sigma, rounded up.

    Raises: CertificationError if the radius is negative or not finite, or sigma is not positive.
    """
    radius, sigma = checked_radius(radius), checked_sigma(sigma)
    if sigma == 0:
        raise CertificationError(
            "no radius can be certified at sigma 0, which is the clean classifier: sigma must be positive"
        )
    return 2 * radius / sigma * ROUNDING_UP


def log_wealth(counts_a_M: Counts, counts_b_M: Counts, nums_M: Counts, *, gap: float) -> Floats:
    """Log wealth of bets that class A leads class b by `gap`. Shapes: `(M,)` -> `(M,)`. Rounded down.

    If A does not lead b by the gap, the log wealth ever reaches `log(1 / alpha)` with probability at most alpha.

    Args:
        counts_a_M: Votes for A at each look.
        counts_b_M: Votes for the most frequent other class at each look.
        nums_M: Draws until each look.
        gap: Of the quantiles Phi^-1(p_A) and Phi^-1(p_b); at least 0.

    >>> import numpy as np
    >>> from zoo.smoothing.tangent_bets import gap_of, log_wealth
    >>> a, b, n = np.array([120]), np.array([20]), np.array([200])  # 60 % and 10 % of 200 draws
    >>> log_wealth(a, b, n, gap=gap_of(0.25, sigma=0.5)).round(2).tolist()
    [2.04]
    """
    bets = bets_on(gap)
    wealth_M = np.empty(len(nums_M), dtype=np.float64)
    for start in range(0, len(nums_M), LOOKS_PER_BLOCK):
        block = slice(start, start + LOOKS_PER_BLOCK)
        a_M1, b_M1, num_M1 = (
            np.asarray(values_M[block], dtype=np.float64)[:, None] for values_M in (counts_a_M, counts_b_M, nums_M)
        )
        # Elementwise products, not a matrix product: a look's result must not depend on the other looks.
        log_MJ = bets.log_weight + a_M1 * bets.log_a + b_M1 * bets.log_b + (num_M1 - a_M1 - b_M1) * bets.log_rest
        best_M1 = log_MJ.max(axis=1, keepdims=True)
        log_mean_M = best_M1[:, 0] + np.log(np.exp(log_MJ - best_M1).sum(axis=1))
        wealth_M[block] = log_mean_M - _slack(num_M1[:, 0])
    return wealth_M


@lru_cache(maxsize=2048)
def bets_on(gap: float) -> Bets:
    """The bets for a gap: for each stake, tangents at several points; the weights have the sum 1.

    The points q reach up to Phi(-gap / 2), where p_A + p_b = 1 on the null's boundary.
    """
    largest = float(ndtr(-gap / 2))
    stakes = STAKE_ODDS / (1 + STAKE_ODDS)
    parts = [_bets_at(gap, stake, weight, largest) for stake, weight in zip(stakes, STAKE_WEIGHTS, strict=True)]
    weight, log_a, log_b, log_rest = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Bets(np.log(weight / weight.sum()), log_a, log_b, log_rest)


def _bets_at(gap: float, stake: float, weight: float, largest: float) -> tuple[Floats, Floats, Floats, Floats]:
    """The weights and log factors of the bets with the given share of the largest stake."""
    num = int(np.ceil(TANGENTS * stake**-FINENESS))
    shares = np.exp(-DEPTH * np.arange(num) / num)
    weights = np.append(CORNER_WEIGHT, (1 - CORNER_WEIGHT) * shares[1:] / shares[1:].sum())
    slope, intercept = _tangents(gap, shares * largest)
    stakes = stake / (slope + intercept)
    return (
        weight * weights,
        np.log1p(stakes * (1 - intercept)),
        np.log1p(-stakes * (slope + intercept)),
        np.log1p(-stakes * intercept),
    )


def _tangents(gap: float, q: Floats) -> tuple[Floats, Floats]:
    """Slopes and intercepts of the tangents of g at the points q; the intercepts are rounded up.

    Each line lies above g: a line with the rounded slope touches g near q, where g differs from its tangent only by a
    square of the rounding error.
    """
    z = ndtri(q)
    slope = np.exp(-gap * z - gap * gap / 2)
    height = ndtr(z + gap)
    return slope, np.maximum(0.0, height - slope * q) + TANGENT_SLACK * (height + slope * q)


def _slack(nums: Floats) -> Floats:
    """An upper bound of the rounding error of the logarithms, which have the magnitude of n."""
    slack: Floats = nums * 1e-12 + 1e-9
    return slack
