"""A claim of the paper: the number in our results that answers it, and the rule, fixed beforehand, by which it does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from training.study.evidence import Evidence
from training.study.statistics import Interval

Answer = Literal["yes", "no", "undecided", "not askable"]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its 95 % interval; None where one seed alone tells none."""

    value: float
    interval: Interval | None


@dataclass(frozen=True, slots=True)
class Rule:
    """When a claim holds: with its whole interval `above`, `below` or `within` (of 0) the limit; it does not with all
    of it on the other side, and is undecided else."""

    kind: Literal["above", "below", "within"]
    limit: float
    unit: str = ""

    @property
    def words(self) -> str:
        limit = f"{self.limit:g}{f' {self.unit}' if self.unit else ''}"
        if self.kind == "within":
            return f"yes if the interval lies within -{limit} and +{limit}, no if it lies outside"
        other = "below" if self.kind == "above" else "above"
        return f"yes if the interval lies {self.kind} {limit}, no if it lies {other}"

    def answer(self, interval: Interval | None) -> Answer:
        """What the interval says; nothing without one."""
        if interval is None:
            return "undecided"
        low, high = interval
        holds, fails = {
            "above": (low > self.limit, high < self.limit),
            "below": (high < self.limit, low > self.limit),
            "within": (-self.limit < low and high < self.limit, low > self.limit or high < -self.limit),
        }[self.kind]
        return "yes" if holds else "no" if fails else "undecided"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """`estimate` finds the number, None where no run gives it; without estimate and rule the claim cannot be asked,
    for the reason that `comparison` gives."""

    section: str
    statement: str
    comparison: str
    rule: Rule | None = None
    estimate: Callable[[Evidence], Estimate | None] | None = None

    def decide(self, evidence: Evidence) -> tuple[Answer, Estimate | None]:
        """The answer and the number behind it."""
        if self.rule is None or self.estimate is None:
            return "not askable", None
        found = self.estimate(evidence)
        return ("undecided", None) if found is None else (self.rule.answer(found.interval), found)
