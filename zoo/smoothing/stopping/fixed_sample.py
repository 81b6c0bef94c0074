"""A fixed number of draws and one look."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal, Self

from zoo.errors import CertificationError
from zoo.smoothing.arguments import checked_count
from zoo.smoothing.bounds import clopper_pearson_lower, clopper_pearson_upper, least_n
from zoo.smoothing.radius import certified_radius
from zoo.smoothing.stopping.rule import (
    DEFAULT_N0,
    Look,
    Proof,
    Tallies,
    Tally,
    first_end,
    one_sided_proof,
    too_few_draws,
)

CLOPPER_PEARSON: Final = "clopper-pearson"
SIMULTANEOUS: Final = "simultaneous"
Bound = Literal["clopper-pearson", "simultaneous"]


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
    bound: Bound = CLOPPER_PEARSON

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

    def usual_n0(self, *, sigma: float) -> int:
        return DEFAULT_N0

    def num_wanted(self, num_drawn: int) -> int:
        return self.n - num_drawn

    def look(self, tallies: Tallies, *, radius: float | None, sigma: float, alpha: float) -> Look:
        return Look(end=first_end(tallies.nums_M >= self.n), radius=None)

    def prove(self, tally: Tally, *, radius: float | None, sigma: float, alpha: float) -> Proof:
        if tally.n != self.n:
            raise CertificationError(
                f"a fixed-sample bound may be evaluated only after {self.n} draws, not after {tally.n}"
            )
        if self.bound == CLOPPER_PEARSON:
            return one_sided_proof(clopper_pearson_lower(tally.count_a, self.n, alpha), sigma)
        p_a_lower = clopper_pearson_lower(tally.count_a, self.n, alpha / 2)
        # At most 1 - p_a_lower, because the other classes have at most n - count_a votes.
        p_b_upper = clopper_pearson_upper(tally.count_b, self.n, alpha / 2)
        radius = certified_radius(p_a_lower, sigma, p_b_upper=p_b_upper) if p_a_lower > p_b_upper else None
        return Proof(p_a_lower=p_a_lower, p_b_upper=p_b_upper, radius=radius)

    def require_possible(self, *, sigma: float, alpha: float) -> None:
        least = least_n(alpha if self.bound == CLOPPER_PEARSON else alpha / 2)
        if self.n < least:
            raise too_few_draws(self.n, alpha, least)
