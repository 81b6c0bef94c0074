"""Draws until further draws could add little to a radius that is valid throughout."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import repeat
from typing import Self

import numpy as np
import numpy.typing as npt

from zoo.errors import CertificationError
from zoo.smoothing.arguments import checked_count, checked_number
from zoo.smoothing.bounds import ROUNDING_DOWN, ROUNDING_UP, clopper_pearson_lower, least_n
from zoo.smoothing.stopping.forecast import favourable_votes
from zoo.smoothing.stopping.rule import (
    DEFAULT_MAX_N,
    DEFAULT_N0,
    TANGENT_BETS,
    Look,
    Proof,
    Tallies,
    Tally,
    first_end,
    is_scheduled,
    next_request,
    one_sided_proof,
    too_few_draws,
)
from zoo.smoothing.tangent_bets import LARGEST_GAP, log_wealth

LOOKS_PER_OCTAVE, FORECASTS_PER_OCTAVE = 64, 8
# Radii that are tested in ascending order, in units of sigma. A radius is lost in part only if it lies between two.
STEP = 0.01
HIGHEST_RUNG = int(LARGEST_GAP / (2 * STEP))
# The share of alpha for the exact look after max_n draws. The rest is for all earlier looks together.
LAST_SHARE = 0.9
# The level of the bounds behind a forecast.
FORECAST_LEVEL = 0.05


@dataclass(frozen=True, slots=True)
class Anytime:
    """A radius that is valid after any number of draws; images with clear votes end early.

    The rule tests the radii 0, sigma/100, 2 sigma/100, ... in this order, each as `AtRadius` does, and goes on to the
    next radius when one is proved. The largest proved radius is valid at any time. A tenth of alpha covers this
    sequence, because a wrong radius requires an error in one fixed test: that of the smallest radius that is too
    large. Nine tenths are kept for one Clopper-Pearson bound after `max_n` draws, so that the radius at the end is
    nearly that of `FixedSample(max_n)`.

    The rule stops when the forecast for the radius at the end exceeds the radius by less than `tolerance`. The
    forecast assumes that the remaining draws vote at the favourable ends of 95 % bounds. It is a heuristic. It decides
    when to stop, not what is claimed. With a tolerance of 0 the rule makes all `max_n` draws.

    Guarantee: with probability at least `1 - alpha`, the radii hold simultaneously for all numbers of draws. Drawing
    may therefore stop at any time and for any reason. `tolerance` is a difference of radii on the [0, 1] pixel scale.

    Source: `tangent_bets`; testing hypotheses in a fixed order without splitting alpha: Maurer, Hothorn and Lehmacher
    1995.
    """

    max_n: int = DEFAULT_MAX_N
    tolerance: float = 0.05

    def __post_init__(self) -> None:
        object.__setattr__(self, "max_n", checked_count("max_n", self.max_n))
        object.__setattr__(self, "tolerance", checked_number("tolerance", self.tolerance))
        if not (math.isfinite(self.tolerance) and self.tolerance >= 0):
            raise CertificationError(f"tolerance must be finite and at least 0, got {self.tolerance}")

    @property
    def name(self) -> str:
        return "anytime"

    @property
    def bound(self) -> str:
        return TANGENT_BETS

    @property
    def radius_asked(self) -> None:
        return None

    def with_max_n(self, max_n: int) -> Self:
        return replace(self, max_n=max_n)

    def usual_n0(self, *, sigma: float) -> int:
        return DEFAULT_N0

    def num_wanted(self, num_drawn: int) -> int:
        return next_request(num_drawn, self.max_n)

    def look(self, tallies: Tallies, *, radius: float | None, sigma: float, alpha: float) -> Look:
        rung = -1 if radius is None else round(radius / (STEP * sigma))
        is_forecast_M = is_scheduled(tallies.nums_M, per_octave=FORECASTS_PER_OCTAVE) & (self.tolerance > 0)
        is_last_M = tallies.nums_M >= self.max_n
        (looks,) = np.nonzero(is_scheduled(tallies.nums_M, per_octave=LOOKS_PER_OCTAVE) | is_last_M)
        for index, highest in zip(looks, _rungs(rung, tallies.at(looks), alpha=alpha), strict=True):
            rung = highest
            tally = tallies.at(np.array([index]))
            if is_last_M[index] or (
                is_forecast_M[index] and self._forecast_gain(rung, tally, sigma=sigma, alpha=alpha) < self.tolerance
            ):
                return Look(end=int(index), radius=_radius_at(rung, sigma))
        return Look(end=None, radius=_radius_at(rung, sigma))

    def prove(self, tally: Tally, *, radius: float | None, sigma: float, alpha: float) -> Proof:
        if tally.n == self.max_n:
            last = one_sided_proof(clopper_pearson_lower(tally.count_a, tally.n, LAST_SHARE * alpha), sigma)
            if last.radius is not None and (radius is None or last.radius > radius):
                return last
        return Proof(radius=radius)

    def require_possible(self, *, sigma: float, alpha: float) -> None:
        least = least_n(LAST_SHARE * alpha)
        if self.max_n < least:
            raise too_few_draws(self.max_n, alpha, least)

    def _forecast_gain(self, rung: int, tally: Tallies, *, sigma: float, alpha: float) -> float:
        """The radius after `max_n` draws that vote favourably, minus the radius so far."""
        (votes_a,), (votes_b,) = favourable_votes(tally, max_n=self.max_n, level=FORECAST_LEVEL)
        p_a_lower = clopper_pearson_lower(int(votes_a), self.max_n, LAST_SHARE * alpha)
        at_last_look = one_sided_proof(p_a_lower, sigma).radius or 0.0
        at_end = Tallies(
            counts_a_M=np.array([votes_a]), counts_b_M=np.array([votes_b]), nums_M=np.array([float(self.max_n)])
        )
        rungs = range(rung + 1, HIGHEST_RUNG + 1)
        highest = rung + bisect_left(rungs, True, key=lambda next_rung: not _is_proved(next_rung, at_end, alpha=alpha))
        return max(at_last_look, _radius_at(highest, sigma) or 0.0) - (_radius_at(rung, sigma) or 0.0)


def proved_by_sequence(tally: Tally, *, sigma: float, alpha: float) -> float | None:
    """The radius that a single look of the sequence proves with these votes; None if it proves nothing.

    Args:
        tally: The votes.
        sigma: Standard deviation of the noise, on the [0, 1] pixel scale.
        alpha: The failure probability of the whole rule, of which the sequence has a tenth.
    """
    arrays = (np.array([count]) for count in (tally.count_a, tally.count_b, tally.n))
    counts_a_M, counts_b_M, nums_M = arrays
    tallies = Tallies(counts_a_M=counts_a_M, counts_b_M=counts_b_M, nums_M=nums_M)
    return _radius_at(_climb(-1, tallies, alpha=alpha), sigma)


def _rungs(rung: int, tallies: Tallies, *, alpha: float) -> Iterator[int]:
    """The highest rung that is proved after each look, beginning with `rung`.

    Most looks prove no further rung, and several looks are evaluated almost as fast as one. As long as no rung is
    proved, the number of looks that are evaluated together doubles.
    """
    done, num_ahead = 0, 1
    while done < len(tallies.nums_M):
        ahead = np.arange(done, min(done + num_ahead, len(tallies.nums_M)))
        first = first_end(_are_proved(rung + 1, tallies.at(ahead), alpha=alpha)) if rung < HIGHEST_RUNG else None
        num_unchanged = len(ahead) if first is None else first
        yield from repeat(rung, num_unchanged)
        done, num_ahead = done + num_unchanged, 2 * num_ahead
        if first is not None:
            rung = _climb(rung + 1, tallies.at(ahead[[first]]), alpha=alpha)
            yield rung
            done, num_ahead = done + 1, 1


def _climb(rung: int, tally: Tallies, *, alpha: float) -> int:
    """The highest rung that is proved together with all rungs from `rung` on. A rung is a radius in steps; -1: none."""
    while rung < HIGHEST_RUNG and _is_proved(rung + 1, tally, alpha=alpha):
        rung += 1
    return rung


def _is_proved(rung: int, tally: Tallies, *, alpha: float) -> bool:
    return bool(_are_proved(rung, tally, alpha=alpha)[0])


def _are_proved(rung: int, tallies: Tallies, *, alpha: float) -> npt.NDArray[np.bool_]:
    """Whether each look proves the rung."""
    gap = 2 * STEP * rung * ROUNDING_UP
    wealth_M = log_wealth(tallies.counts_a_M, tallies.counts_b_M, tallies.nums_M, gap=gap)
    return wealth_M >= math.log(1 / ((1 - LAST_SHARE) * alpha))


def _radius_at(rung: int, sigma: float) -> float | None:
    """The radius of a rung, rounded down."""
    return None if rung < 0 else STEP * rung * sigma * ROUNDING_DOWN
