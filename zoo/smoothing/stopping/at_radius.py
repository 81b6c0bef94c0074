"""Draws until a test of one radius is decided."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from zoo.errors import CertificationError
from zoo.smoothing.arguments import checked_count, checked_radius
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
)
from zoo.smoothing.tangent_bets import LARGEST_GAP, Floats, gap_of, log_wealth

# The level of the bounds behind a forecast: an image that could be certified is rarely given up.
FORECAST_LEVEL = 1e-4
FORECASTS_PER_OCTAVE = 8
FEWEST_N0, N0_AT_GAP_1 = 16, 48


@dataclass(frozen=True, slots=True)
class AtRadius:
    """Tests whether the radius is at least `radius`: certifies exactly that radius, or abstains.

    The rule certifies as soon as "the selected class does not lead the runner-up by the gap that the radius requires"
    is refuted. It looks after every draw. It abstains after `max_n` draws, or earlier if the counts make it unlikely
    that `max_n` draws will certify. This forecast is a heuristic. It decides only when to give up.

    Guarantee: given the class, the probability of certifying a radius that is larger than the true one is at most
    alpha. `radius` is on the [0, 1] pixel scale.

    Source: `tangent_bets`. A test at level alpha that certifies whenever the probabilities allow it needs at least
    `log(1 / alpha) / KL` draws on average (Wald 1945), where KL is the divergence of the true probabilities from the
    nearest ones that do not allow the radius.
    """

    radius: float
    max_n: int = DEFAULT_MAX_N

    def __post_init__(self) -> None:
        object.__setattr__(self, "radius", checked_radius(self.radius))
        object.__setattr__(self, "max_n", checked_count("max_n", self.max_n))

    @property
    def name(self) -> str:
        return "at-radius"

    @property
    def bound(self) -> str:
        return TANGENT_BETS

    @property
    def radius_asked(self) -> float:
        return self.radius

    def with_max_n(self, max_n: int) -> Self:
        return replace(self, max_n=max_n)

    def usual_n0(self, *, sigma: float) -> int:
        """The fewer, the larger the gap between the classes that the radius requires.

        A class that leads by a gap of 0.8 or more loses its lead in these draws in fewer than 2 % of cases.
        """
        gap = gap_of(self.radius, sigma)
        return DEFAULT_N0 if gap == 0 else min(max(FEWEST_N0, math.ceil(N0_AT_GAP_1 / gap**2)), DEFAULT_N0)

    def num_wanted(self, num_drawn: int) -> int:
        return next_request(num_drawn, self.max_n)

    def look(self, tallies: Tallies, *, radius: float | None, sigma: float, alpha: float) -> Look:
        gap, threshold = gap_of(self.radius, sigma), math.log(1 / alpha)
        is_proved = log_wealth(tallies.counts_a_M, tallies.counts_b_M, tallies.nums_M, gap=gap) >= threshold
        ends = is_proved | (tallies.nums_M >= self.max_n)
        (forecasts,) = np.nonzero(is_scheduled(tallies.nums_M, per_octave=FORECASTS_PER_OCTAVE))
        ends[forecasts] |= self._forecasts(tallies.at(forecasts), gap) < threshold
        end = first_end(ends)
        return Look(end=end, radius=self.radius if end is not None and is_proved[end] else None)

    def prove(self, tally: Tally, *, radius: float | None, sigma: float, alpha: float) -> Proof:
        return Proof(radius=radius)

    def require_possible(self, *, sigma: float, alpha: float) -> None:
        gap, all_agree, none = gap_of(self.radius, sigma), np.array([self.max_n]), np.array([0])
        if gap > LARGEST_GAP or log_wealth(all_agree, none, all_agree, gap=gap)[0] < math.log(1 / alpha):
            raise CertificationError(
                f"radius {self.radius:g} can never be certified at sigma={sigma:g} and alpha={alpha:g} with "
                f"{self.max_n} draws, even if all agree: choose a smaller radius or more draws"
            )

    def _forecasts(self, tallies: Tallies, gap: float) -> Floats:
        """The log wealth after `max_n` draws if the remaining draws vote favourably."""
        votes_a_M, votes_b_M = favourable_votes(tallies, max_n=self.max_n, level=FORECAST_LEVEL)
        return log_wealth(votes_a_M, votes_b_M, np.full(len(votes_a_M), self.max_n), gap=gap)
