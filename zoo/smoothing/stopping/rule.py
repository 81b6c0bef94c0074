"""The interface of stopping rules, and what the rules share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol, Self, runtime_checkable

import numpy as np
import numpy.typing as npt

from zoo.errors import CertificationError
from zoo.smoothing.radius import certified_radius

Ints = npt.NDArray[np.int64]

DEFAULT_MAX_N = 100_000
DEFAULT_N0 = 100
TANGENT_BETS: Final = "tangent-bets"
FIRST_REQUEST = 16
GROWTH = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Votes for the selected class (`count_a`) and for the most frequent other class (`count_b`) among `n` draws."""

    count_a: int
    count_b: int
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Tallies:
    """The tallies at several looks, shape `(M,)` each; the numbers of draws ascend."""

    counts_a_M: Ints
    counts_b_M: Ints
    nums_M: Ints

    def at(self, looks: Ints) -> Tallies:
        """The tallies of some of the looks, by index."""
        return Tallies(counts_a_M=self.counts_a_M[looks], counts_b_M=self.counts_b_M[looks], nums_M=self.nums_M[looks])


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """The radius that follows from a tally, and the bounds behind it; None means that nothing is proved (abstain)."""

    radius: float | None
    p_a_lower: float | None = None
    p_b_upper: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """The index of the look at which a rule ends, None if it continues, and the largest radius proved so far.

    `radius` is None as long as nothing is proved.
    """

    end: int | None
    radius: float | None


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

    def usual_n0(self, *, sigma: float) -> int:
        """The number of draws that select the class, unless the caller sets it."""
        ...

    def num_wanted(self, num_drawn: int) -> int:
        """The number of draws to make before the next look, if the rule has not ended."""
        ...

    def look(self, tallies: Tallies, *, radius: float | None, sigma: float, alpha: float) -> Look:
        """The outcome of several looks.

        Args:
            tallies: The votes at each look, one look per draw.
            radius: The radius that earlier looks proved, None at first.
            sigma: Standard deviation of the noise, on the [0, 1] pixel scale.
            alpha: The failure probability that the bound may use.
        """
        ...

    def prove(self, tally: Tally, *, radius: float | None, sigma: float, alpha: float) -> Proof:
        """The bounds and the radius that the tally proves at the end.

        Args:
            tally: The votes up to the end.
            radius: The radius of the last look.
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


def is_scheduled(nums_M: Ints, *, per_octave: int) -> npt.NDArray[np.bool_]:
    """Whether to look after each number of draws: at `per_octave` to twice as many looks while the number doubles.

    The schedule depends on the number of draws alone, and therefore not on the batches. `per_octave` is a power of 2.
    """
    steps_M = np.maximum(1, 2 ** np.floor(np.log2(nums_M)).astype(np.int64) // per_octave)
    scheduled: npt.NDArray[np.bool_] = nums_M % steps_M == 0
    return scheduled


def one_sided_proof(p_a_lower: float, sigma: float) -> Proof:
    """The proof that assigns all remaining probability to the runner-up."""
    return Proof(p_a_lower=p_a_lower, radius=certified_radius(p_a_lower, sigma) if p_a_lower > 0.5 else None)


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
