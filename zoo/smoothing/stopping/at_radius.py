"""Draws until a test of one radius is decided."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from zoo.errors import CertificationError
from zoo.smoothing.arguments import checked_count, checked_radius
from zoo.smoothing.confidence_sequence import Ints, log_wealth_above, log_wealth_below
from zoo.smoothing.radius import probability_at
from zoo.smoothing.stopping.rule import DEFAULT_MAX_N, Look, Proof, Tally, first_end, next_request


@dataclass(frozen=True, slots=True)
class AtRadius:
    """Tests whether the radius is at least `radius`: certifies exactly that radius, or abstains.

    The rule certifies when "p_A is at most Phi(radius / sigma)" is refuted. It abstains when "p_A is at least
    Phi(radius / sigma)" is refuted, or after `max_n` draws. It looks after every draw.

    Guarantee: given the class, the probability of certifying although p_A < Phi(radius / sigma) is at most alpha. The
    probability of wrongly refuting a p_A above it is at most alpha as well. `radius` is on the [0, 1] pixel scale.

    Source: betting as in Voracek, NeurIPS 2024, with the prior restricted to one side; see `confidence_sequence`. By
    Wald 1945, a test at level alpha that certifies whenever p_A allows it needs at least
    `log(1 / alpha) / KL(p_A, Phi(radius / sigma))` draws on average.
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
        return "beta-mixture"

    @property
    def radius_asked(self) -> float:
        return self.radius

    def with_max_n(self, max_n: int) -> Self:
        return replace(self, max_n=max_n)

    def num_wanted(self, num_drawn: int) -> int:
        return next_request(num_drawn, self.max_n)

    def look(self, counts_M: Ints, nums_M: Ints, *, p_a_lower: float, sigma: float, alpha: float) -> Look:
        p = probability_at(self.radius, sigma)
        is_above = log_wealth_above(counts_M, nums_M, p) >= math.log(1 / alpha)
        is_below = log_wealth_below(counts_M, nums_M, p) >= math.log(1 / alpha)
        end = first_end(is_above | is_below | (nums_M >= self.max_n))
        return Look(end=end, p_a_lower=p if end is not None and is_above[end] else 0.0)

    def prove(self, tally: Tally, *, p_a_lower: float, sigma: float, alpha: float) -> Proof:
        is_certified = p_a_lower >= probability_at(self.radius, sigma)
        return Proof(p_a_lower=p_a_lower, radius=self.radius if is_certified else None)

    def require_possible(self, *, sigma: float, alpha: float) -> None:
        p = probability_at(self.radius, sigma)
        all_agree = np.array([self.max_n])
        if p >= 1 or log_wealth_above(all_agree, all_agree, p)[0] < math.log(1 / alpha):
            raise CertificationError(
                f"radius {self.radius:g} can never be certified at sigma={sigma:g} and alpha={alpha:g} with "
                f"{self.max_n} draws, even if all agree: choose a smaller radius or more draws"
            )
