"""Draws until further draws could add little to a radius that is valid throughout."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from zoo.errors import CertificationError
from zoo.smoothing.arguments import checked_count, checked_number
from zoo.smoothing.confidence_sequence import Ints, mixture_lower
from zoo.smoothing.stopping.rule import (
    DEFAULT_MAX_N,
    Look,
    Proof,
    Tally,
    first_end,
    next_request,
    one_sided_proof,
    radius_or_zero,
    too_few_draws,
)

LOOK_EVERY = 16


@dataclass(frozen=True, slots=True)
class Anytime:
    """A radius that is valid after any number of draws; images with clear votes end early.

    The rule ends when the remaining draws up to `max_n` could add less than `tolerance` to the radius even if all of
    them agreed, at the latest after `max_n`. It looks after every 16th draw.

    Guarantee: with probability at least `1 - alpha`, the lower bounds of p_A hold simultaneously for all numbers of
    draws. Drawing may therefore stop at any time and for any reason, and the largest bound so far is valid. `tolerance`
    is a difference of radii on the [0, 1] pixel scale.

    Source: `confidence_sequence.mixture_lower`.
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
        return "beta-mixture"

    @property
    def radius_asked(self) -> None:
        return None

    def with_max_n(self, max_n: int) -> Self:
        return replace(self, max_n=max_n)

    def num_wanted(self, num_drawn: int) -> int:
        return next_request(num_drawn, self.max_n)

    def look(self, counts_M: Ints, nums_M: Ints, *, p_a_lower: float, sigma: float, alpha: float) -> Look:
        looks = np.flatnonzero((nums_M % LOOK_EVERY == 0) | (nums_M == self.max_n))
        if len(looks) == 0:
            return Look(end=None, p_a_lower=p_a_lower)
        counts, nums = counts_M[looks], nums_M[looks]
        now = np.maximum.accumulate(np.maximum(mixture_lower(counts, nums, alpha), p_a_lower))
        best = mixture_lower(counts + self.max_n - nums, np.full_like(nums, self.max_n), alpha)
        pairs = zip(now, best, strict=True)
        gains = np.array(
            [radius_or_zero(float(upper), sigma) - radius_or_zero(float(lower), sigma) for lower, upper in pairs]
        )
        end = first_end((gains < self.tolerance) | (nums == self.max_n))
        return Look(end=None if end is None else int(looks[end]), p_a_lower=float(now[-1 if end is None else end]))

    def prove(self, tally: Tally, *, p_a_lower: float, sigma: float, alpha: float) -> Proof:
        return one_sided_proof(p_a_lower, sigma)

    def require_possible(self, *, sigma: float, alpha: float) -> None:
        if mixture_lower(np.array([self.max_n]), np.array([self.max_n]), alpha)[0] <= 0.5:
            n = np.arange(1, 100_000)
            least = int(n[mixture_lower(n, n, alpha) > 0.5][0])
            raise too_few_draws(self.max_n, alpha, least)
