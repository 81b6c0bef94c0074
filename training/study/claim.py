"""A claim of the paper: the estimate that tests it, and the decision rule, fixed before the study ran."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from training.study.evidence import Evidence
from training.study.rendering import TextTable
from training.study.statistics import Interval

Answer = Literal["yes", "no", "undecided", "not testable"]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its 95 % interval; the interval is None for a single seed."""

    value: float
    interval: Interval | None


@dataclass(frozen=True, slots=True)
class Rule:
    """A decision rule on an estimate's interval.

    The claim holds if the whole interval is `above` or `below` the limit, or `within` the limit of 0. It fails if the
    whole interval is on the other side. Otherwise it is undecided.
    """

    kind: Literal["above", "below", "within"]
    limit: float
    unit: str = ""

    @property
    def words(self) -> str:
        limit = f"{self.limit:g}{f' {self.unit}' if self.unit else ''}"
        if self.kind == "within":
            return f"yes if the interval is between -{limit} and +{limit}, no if it is outside"
        other = "below" if self.kind == "above" else "above"
        return f"yes if the interval is {self.kind} {limit}, no if it is {other}"

    def answer(self, interval: Interval | None) -> Answer:
        """The answer for this interval; undecided without one."""
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
    """A claim of the paper.

    `estimate` computes the number, or None if no run provides it. A claim without estimate and rule cannot be tested;
    `comparison` then gives the reason.
    """

    section: str
    statement: str
    comparison: str
    rule: Rule | None = None
    estimate: Callable[[Evidence], Estimate | None] | None = None

    def decide(self, evidence: Evidence) -> tuple[Answer, Estimate | None]:
        """The answer, and the estimate that it is based on."""
        if self.rule is None or self.estimate is None:
            return "not testable", None
        estimate = self.estimate(evidence)
        return ("undecided", None) if estimate is None else (self.rule.answer(estimate.interval), estimate)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimSet:
    """The claims that a study answers, by name.

    `head` precedes the table of the rules, and `note` follows that of the answers. `statement` names the column of the
    statements.
    """

    claims: Mapping[str, Claim]
    title: str
    statement: str
    head: str
    note: str

    @property
    def rules(self) -> TextTable:
        """The claims with their estimates and rules, without answers."""
        return TextTable(
            title="Claims",
            columns=("claim", "section", self.statement, "estimate", "rule"),
            rows=tuple(
                (
                    name,
                    claim.section,
                    claim.statement,
                    claim.comparison,
                    claim.rule.words if claim.rule else "not testable here",
                )
                for name, claim in self.claims.items()
            ),
        )

    @property
    def document(self) -> str:
        """The page of the rules in Markdown, without the last line break."""
        return f"{self.head}\n\n{self.rules.markdown}"

    def answers(self, evidence: Evidence) -> TextTable:
        """The claims with their answers and the estimates that decide them."""
        return TextTable(
            title=self.title,
            columns=("claim", "section", self.statement, "estimate", "value", "answer"),
            rows=tuple(_answer(name, claim, evidence) for name, claim in self.claims.items()),
            note=self.note,
        )


def _answer(name: str, claim: Claim, evidence: Evidence) -> tuple[str, ...]:
    answer, estimate = claim.decide(evidence)
    return name, claim.section, claim.statement, claim.comparison, _in_words(claim, estimate), answer


def _in_words(claim: Claim, estimate: Estimate | None) -> str:
    if estimate is None:
        return "" if claim.rule is None else "no run measures this"
    unit = f" {claim.rule.unit}" if claim.rule is not None and claim.rule.unit else ""
    interval = "one seed only" if estimate.interval is None else "{:.3g} to {:.3g}".format(*estimate.interval)
    return f"{estimate.value:.3g}{unit} ({interval})"
