"""When enough has been drawn, and what the counts then prove.

FixedSample   exactly n draws and one look
AtRadius      as many as decide whether one radius holds
Anytime       until the remaining draws could add little
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
    """How often the chosen class and the most frequent other one were named in `n` draws."""

    count_a: int
    count_b: int
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What a tally proves: the bounds, and the radius that follows; `radius` None means: nothing, abstain."""

    p_a_lower: float
    radius: float | None
    p_b_upper: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a rule saw: the index of the look after which it ends, if it does, and its best bound on p_A until there."""

    end: int | None
    p_a_lower: float


@runtime_checkable
class StoppingRule(Protocol):
    """Watches the votes for one class, chosen beforehand from independent draws, in the order of their counters.

    Guarantee: whatever the true probabilities are, the chance over all draws that `prove`, asked where `look` first
    ends, claims a radius that does not hold is at most alpha. The draws after the end are not looked at.
    """

    @property
    def name(self) -> str:
        """As it stands in certificates and logs."""
        ...

    @property
    def bound(self) -> str:
        """The confidence bound behind the radius, as it stands in certificates."""
        ...

    @property
    def max_n(self) -> int:
        """The most draws that it makes."""
        ...

    @property
    def radius_asked(self) -> float | None:
        """The one radius that it decides, if it is of that kind."""
        ...

    def with_max_n(self, max_n: int) -> Self:
        """The same rule with another `max_n`."""
        ...

    def num_wanted(self, num_drawn: int) -> int:
        """How many further draws to make before the next look, as long as it has not ended."""
        ...

    def look(self, counts_M: Ints, nums_M: Ints, *, p_a_lower: float, sigma: float, alpha: float) -> Look:
        """Goes on from the best bound so far, `p_a_lower`, 0 at first; `counts_M` of `nums_M` draws named the class."""
        ...

    def prove(self, tally: Tally, *, p_a_lower: float, sigma: float, alpha: float) -> Proof:
        """What follows at the end, `p_a_lower` being the last look's.

        Raises: CertificationError where the rule does not allow a look.
        """
        ...

    def require_possible(self, *, sigma: float, alpha: float) -> None:
        """Raises CertificationError if not even draws that all agree could certify."""
        ...


@dataclass(frozen=True, slots=True)
class FixedSample:
    """Exactly `n` draws and one look (Cohen et al. 2019, CERTIFY).

    `bound` "clopper-pearson" bounds p_A from below at alpha and gives the runner-up all the rest. "simultaneous" is the
    paper's equation 2 in full: p_A from below at alpha/2, and p_B from above at alpha/2 by the count of the most
    frequent other class in the same draws. The upper bound grows with the count, so it also holds for the class that
    is second in truth, whichever was second in the draws. It certifies more where p_A is small, and less where p_A is
    large, since half of alpha is spent on p_B.
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
                f"a fixed-sample bound may be looked at after {self.n} draws only, not after {tally.n}"
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
            raise _never(self.n, alpha, least)


@dataclass(frozen=True, slots=True)
class AtRadius:
    """Decides whether the radius is at least `radius`: certifies just that radius, or abstains.

    Ends as soon as "p_A is at most Phi(radius / sigma)" is refuted (certified), "it is at least that" is refuted, or
    `max_n` draws are made (both abstain). Looks after every draw.

    Guarantee: given the class, the chance of certifying although p_A < Phi(radius / sigma) is at most alpha; so is the
    chance that the opposite is refuted wrongly. `radius` on the [0, 1] pixel scale.

    Source: betting as in Voracek, NeurIPS 2024, with the prior restricted to the side in question; see
    `confidence_sequence`. Wald 1945: a test that keeps alpha and certifies p_A whenever it holds needs at
    least `log(1 / alpha) / KL(p_A, Phi(radius / sigma))` draws on average.
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
                f"{self.max_n} draws, even if all agree: ask for a smaller radius, or for more draws"
            )


@dataclass(frozen=True, slots=True)
class Anytime:
    """The radius after as few draws as make it nearly the best that can be had: easy images end early.

    Ends as soon as the draws that remain of `max_n` could add less than `tolerance` to the radius even if all of them
    agreed, at the latest after `max_n`. Looks after every sixteenth draw.

    Guarantee: the lower bounds on p_A after all numbers of draws hold at once with probability at least `1 - alpha`, so
    the drawing may stop at any time, for any reason, and the largest of them counts. `tolerance` is a difference of
    radii on the [0, 1] pixel scale.

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
        gains = np.array([_radius(float(b), sigma) - _radius(float(a), sigma) for a, b in zip(now, best, strict=True)])
        end = _first((gains < self.tolerance) | (nums == self.max_n))
        return Look(end=None if end is None else int(looks[end]), p_a_lower=float(now[-1 if end is None else end]))

    def prove(self, tally: Tally, *, p_a_lower: float, sigma: float, alpha: float) -> Proof:
        return _one_sided(p_a_lower, sigma)

    def require_possible(self, *, sigma: float, alpha: float) -> None:
        if mixture_lower(np.array([self.max_n]), np.array([self.max_n]), alpha)[0] <= 0.5:
            n = np.arange(1, 100_000)
            least = int(n[mixture_lower(n, n, alpha) > 0.5][0])
            raise _never(self.max_n, alpha, least)


def _first(ends_M: npt.NDArray[np.bool_]) -> int | None:
    return int(np.argmax(ends_M)) if ends_M.any() else None


def _one_sided(p_a_lower: float, sigma: float) -> Proof:
    return Proof(p_a_lower=p_a_lower, radius=_radius(p_a_lower, sigma) if p_a_lower > 0.5 else None)


def _radius(p_a_lower: float, sigma: float) -> float:
    return certified_radius(p_a_lower, sigma) if p_a_lower > 0.5 else 0.0


def _next_request(num_drawn: int, max_n: int) -> int:
    """A quarter of what was drawn, so that few draws are made in vain after the end, and few requests are needed."""
    return min(max_n - num_drawn, max(FIRST_REQUEST, num_drawn // GROWTH))


def _never(n: int, alpha: float, least: int) -> CertificationError:
    return CertificationError(
        f"n={n} can never certify at alpha={alpha:g}, even if all draws agree: the least n is {least}"
    )
