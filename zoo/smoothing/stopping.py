"""When enough has been drawn, and what the counts then prove."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from zoo.errors import CertificationError
from zoo.smoothing.bounds import clopper_pearson_lower


class StoppingRule(Protocol):
    """Watches the count of one class, chosen beforehand from independent draws.

    Guarantee: whatever p_A is, the chance over all draws that a bound above p_A is ever returned where `num_wanted`
    says 0 is at most alpha.
    """

    @property
    def name(self) -> str:
        """As it stands in certificates and logs."""
        ...

    def num_wanted(self, count_a: int, num_drawn: int) -> int:
        """How many further draws are wanted after `count_a` of `num_drawn`; 0 ends."""
        ...

    def p_a_lower(self, count_a: int, num_drawn: int, alpha: float) -> float:
        """The lower bound on p_A. Raises: CertificationError where the rule does not allow a look."""
        ...


@dataclass(frozen=True, slots=True)
class FixedSample:
    """Exactly `n` draws and one look (Cohen et al. 2019, CERTIFY)."""

    n: int
    name: str = "fixed"

    def num_wanted(self, count_a: int, num_drawn: int) -> int:
        return self.n - num_drawn

    def p_a_lower(self, count_a: int, num_drawn: int, alpha: float) -> float:
        if num_drawn != self.n:
            raise CertificationError(
                f"a fixed-sample bound may be looked at after {self.n} draws only, not after {num_drawn}"
            )
        return clopper_pearson_lower(count_a, self.n, alpha)
