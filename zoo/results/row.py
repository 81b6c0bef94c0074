"""One image's row of a certification log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from zoo.smoothing.stopping import Bound, FixedSample, Proof, Tally

ABSTAIN = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """How a row's radius was found. Published logs do not record it.

    `n` is the number of draws made. Of these, `count_a` voted for the selected class, `count_b` for the most frequent
    other class and `count_label` for the image's true class. `p_a_lower` and `p_b_upper` bound the probabilities of the
    selected class and of every other class; None if `bound` is a test that bounds neither, or assigns all remaining
    probability to the other classes. Logs of earlier versions do not record `count_b` and `count_label`: None.
    """

    count_a: int
    n: int
    n0: int
    alpha: float
    sigma: float
    p_a_lower: float | None
    stopping: str
    radius_asked: float | None
    noise: str
    backend: str
    seed: int
    bound: str
    count_b: int | None = None
    p_b_upper: float | None = None
    count_label: int | None = None

    def proof_by_counts(self, *, alpha: float) -> Proof:
        """The proof that the counts give under the rule "fixed", with error probability `alpha` left for the bound."""
        rule = FixedSample(self.n, bound=cast("Bound", self.bound))  # it checks its bound
        tally = Tally(count_a=self.count_a, count_b=self.count_b or 0, n=self.n)
        return rule.prove(tally, radius=None, sigma=self.sigma, alpha=alpha)


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificationRow:
    """The result for one image: its true class, the smoothed classifier's prediction (-1: abstained) and the radius."""

    idx: int
    label: int
    predict: int
    radius: float
    correct: bool
    time: str
    provenance: Provenance | None = None
