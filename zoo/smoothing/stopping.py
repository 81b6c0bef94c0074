"""Stopping rules: when to stop drawing, and which radius the counts prove.

FixedSample   exactly n draws and one look
AtRadius      draws until a test of one radius is decided
Anytime       draws until further draws could add little to the radius
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final, Literal, Protocol, Self, runtime_checkable

import numpy as np
import numpy.typing as npt

from zoo.errors import CertificationError
from zoo.smoothing.arguments import checked_count, checked_number, checked_radius
from zoo.smoothing.bounds import clopper_pearson_lower, clopper_pearson_upper, least_n
from zoo.smoothing.confidence_sequence import Ints, log_wealth_above, log_wealth_below, mixture_lower
from zoo.smoothing.radius import certified_radius, probability_at

DEFAULT_MAX_N = 100_000
CLOPPER_PEARSON: Final = "clopper-pearson"
SIMULTANEOUS: Final = "simultaneous"
LOOK_EVERY = 16
FIRST_REQUEST = 16
GROWTH = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Votes for the selected class (`count_a`) and for the most frequent other class (`count_b`) among `n` draws."""

    count_a: int
    count_b: int
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """The bounds that follow from a tally, and the radius; None means that nothing is proved (abstain)."""

    p_a_lower: float
    radius: float | None
    p_b_upper: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """The index of the look at which a rule ends, None if it continues, and the best lower bound of p_A so far."""

    end: int | None
    p_a_lower: float


@runtime_checkable
class StoppingRule(Protocol):
    """Evaluates the votes for one class, in the order of the draws' counters. Independent draws selected the class.

    The caller evaluates `look` until it reports an end, and then calls `prove`. Draws after the end are ignored.

    Guarantee: for all true probabilities of the classes, `prove` claims a wrong radius with probability at most alpha.
    The probability is over all draws.
    """

    @property
    def name(self) -> str:
        """The name in certificates and logs."""
        ...

    @property
    def bound(self) -> str:
        """The name of the confidence bound in certificates."""
        ...

    @property
    def max_n(self) -> int:
        """The maximum number of draws."""
        ...

    @property
    def radius_asked(self) -> float | None:
        """The radius that the rule tests, None if it tests none."""
        ...

    def with_max_n(self, max_n: int) -> Self:
        """The same rule with another `max_n`."""
        ...

    def num_wanted(self, num_drawn: int) -> int:
        """The number of draws to make before the next look, if the rule has not ended."""
        ...

    def look(self, counts_M: Ints, nums_M: Ints, *, p_a_lower: float, sigma: float, alpha: float) -> Look:
        """The outcome of several looks.

        Args:
            counts_M: Votes for the class at each look.
            nums_M: Draws made until each look, ascending.
            p_a_lower: The best bound of earlier looks, 0 at first.
            sigma: Standard deviation of the noise, on the [0, 1] pixel scale.
            alpha: The failure probability that the bound may use.
        """
        ...

    def prove(self, tally: Tally, *, p_a_lower: float, sigma: float, alpha: float) -> Proof:
        """The bounds and the radius that the tally proves at the end.

        Args:
            tally: The votes up to the end.
            p_a_lower: The bound of the last look.
            sigma: Standard deviation of the noise, on the [0, 1] pixel scale.
            alpha: The failure probability that the bound may use.

        Raises: CertificationError if the rule does not allow a look at this number of draws.
        """
        ...

    def require_possible(self, *, sigma: float, alpha: float) -> None:
        """Raises CertificationError if the rule could not certify even if all draws agreed."""
        ...


@dataclass(frozen=True, slots=True)
class FixedSample:
    """Exactly `n` draws and one look (Cohen et al. 2019, CERTIFY).

    `bound` "clopper-pearson" uses a lower bound of p_A at alpha and assigns the remaining probability to the runner-up.
    "simultaneous" is the paper's equation 2: a lower bound of p_A at alpha/2 and an upper bound of p_B at alpha/2 from
    the count of the most frequent other class in the same draws. The upper bound increases with the count, so it also
    holds for the true runner-up, whichever class was second in the draws. It certifies more where p_A is small, and
    less where p_A is large, because p_B uses half of alpha.
    """

    n: int
    bound: Literal["clopper-pearson", "simultaneous"] = CLOPPER_PEARSON

    def __post_init__(self) -> None:
        object.__setattr__(self, "n", checked_count("n", self.n))
        if self.bound not in (CLOPPER_PEARSON, SIMULTANEOUS):
            raise CertificationError(f"bound must be clopper-pearson or simultaneous, got {self.bound!r}")

    @property
    def name(self) -> str:
        return "fixed"

    @property
    def max_n(self) -> int:
        return self.n

    @property
    def radius_asked(self) -> None:
        return None

    def with_max_n(self, max_n: int) -> Self:
        return replace(self, n=max_n)

    def num_wanted(self, num_drawn: int) -> int:
        return self.n - num_drawn

    def look(self, counts_M: Ints, nums_M: Ints, *, p_a_lower: float, sigma: float, alpha: float) -> Look:
        return Look(end=_first(nums_M >= self.n), p_a_lower=p_a_lower)

    def prove(self, tally: Tally, *, p_a_lower: float, sigma: float, alpha: float) -> Proof:
        if tally.n != self.n:
            raise CertificationError(
                f"a fixed-sample bound may be evaluated only after {self.n} draws, not after {tally.n}"
            )
        if self.bound == CLOPPER_PEARSON:
            return _one_sided(clopper_pearson_lower(tally.count_a, self.n, alpha), sigma)
        p_a_lower = clopper_pearson_lower(tally.count_a, self.n, alpha / 2)
        rest = math.nextafter(1 - p_a_lower, math.inf)
        p_b_upper = min(rest, clopper_pearson_upper(tally.count_b, self.n, alpha / 2))
        radius = certified_radius(p_a_lower, sigma, p_b_upper=p_b_upper) if p_a_lower > p_b_upper else None
        return Proof(p_a_lower=p_a_lower, p_b_upper=p_b_upper, radius=radius)

    def require_possible(self, *, sigma: float, alpha: float) -> None:
        least = least_n(alpha if self.bound == CLOPPER_PEARSON else alpha / 2)
        if self.n < least:
            raise _too_few_draws(self.n, alpha, least)


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
        return _next_request(num_drawn, self.max_n)

    def look(self, counts_M: Ints, nums_M: Ints, *, p_a_lower: float, sigma: float, alpha: float) -> Look:
        p = probability_at(self.radius, sigma)
        is_above = log_wealth_above(counts_M, nums_M, p) >= math.log(1 / alpha)
        is_below = log_wealth_below(counts_M, nums_M, p) >= math.log(1 / alpha)
        end = _first(is_above | is_below | (nums_M >= self.max_n))
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
        return _next_request(num_drawn, self.max_n)

    def look(self, counts_M: Ints, nums_M: Ints, *, p_a_lower: float, sigma: float, alpha: float) -> Look:
        looks = np.flatnonzero((nums_M % LOOK_EVERY == 0) | (nums_M == self.max_n))
        if len(looks) == 0:
            return Look(end=None, p_a_lower=p_a_lower)
        counts, nums = counts_M[looks], nums_M[looks]
        now = np.maximum.accumulate(np.maximum(mixture_lower(counts, nums, alpha), p_a_lower))
        best = mixture_lower(counts + self.max_n - nums, np.full_like(nums, self.max_n), alpha)
        pairs = zip(now, best, strict=True)
        gains = np.array([_radius(float(upper), sigma) - _radius(float(lower), sigma) for lower, upper in pairs])
        end = _first((gains < self.tolerance) | (nums == self.max_n))
        return Look(end=None if end is None else int(looks[end]), p_a_lower=float(now[-1 if end is None else end]))

    def prove(self, tally: Tally, *, p_a_lower: float, sigma: float, alpha: float) -> Proof:
        return _one_sided(p_a_lower, sigma)

    def require_possible(self, *, sigma: float, alpha: float) -> None:
        if mixture_lower(np.array([self.max_n]), np.array([self.max_n]), alpha)[0] <= 0.5:
            n = np.arange(1, 100_000)
            least = int(n[mixture_lower(n, n, alpha) > 0.5][0])
            raise _too_few_draws(self.max_n, alpha, least)


def _first(ends_M: npt.NDArray[np.bool_]) -> int | None:
    return int(np.argmax(ends_M)) if ends_M.any() else None


def _one_sided(p_a_lower: float, sigma: float) -> Proof:
    return Proof(p_a_lower=p_a_lower, radius=_radius(p_a_lower, sigma) if p_a_lower > 0.5 else None)


def _radius(p_a_lower: float, sigma: float) -> float:
    return certified_radius(p_a_lower, sigma) if p_a_lower > 0.5 else 0.0


def _next_request(num_drawn: int, max_n: int) -> int:
    """The number of draws to request: a quarter of the draws so far.

    This keeps both the number of draws after the end and the number of requests small.
    """
    return min(max_n - num_drawn, max(FIRST_REQUEST, num_drawn // GROWTH))


def _too_few_draws(n: int, alpha: float, least: int) -> CertificationError:
    return CertificationError(
        f"n={n} can never certify at alpha={alpha:g}, even if all draws agree: the least n is {least}"
    )
