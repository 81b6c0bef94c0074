"""The interface of stopping rules, and what the rules share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, Self, runtime_checkable

import numpy as np
import numpy.typing as npt

from zoo.errors import CertificationError
from zoo.smoothing.confidence_sequence import Ints
from zoo.smoothing.radius import certified_radius

DEFAULT_MAX_N = 100_000
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


def first_end(ends_M: npt.NDArray[np.bool_]) -> int | None:
    """The index of the first look that ends the rule; None if no look does."""
    return int(np.argmax(ends_M)) if ends_M.any() else None


def one_sided_proof(p_a_lower: float, sigma: float) -> Proof:
    """The proof that assigns all remaining probability to the runner-up."""
    return Proof(p_a_lower=p_a_lower, radius=radius_or_zero(p_a_lower, sigma) if p_a_lower > 0.5 else None)


def radius_or_zero(p_a_lower: float, sigma: float) -> float:
    """The certified radius; 0 if the lower bound does not exceed 1/2."""
    return certified_radius(p_a_lower, sigma) if p_a_lower > 0.5 else 0.0


def next_request(num_drawn: int, max_n: int) -> int:
    """The number of draws to request: a quarter of the draws so far.

    This keeps both the number of draws after the end and the number of requests small.
    """
    return min(max_n - num_drawn, max(FIRST_REQUEST, num_drawn // GROWTH))


def too_few_draws(n: int, alpha: float, least: int) -> CertificationError:
    """The error of a rule that could not certify even if all `n` draws agreed."""
    return CertificationError(
        f"n={n} can never certify at alpha={alpha:g}, even if all draws agree: the least n is {least}"
    )
