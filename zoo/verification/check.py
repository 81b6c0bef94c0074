"""One question asked of a checkpoint, and the answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Outcome = Literal["passed", "failed", "unchecked"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """`findings` are what is wrong, in words. `note` says what was looked at, or why nothing could be: `is_unchecked`
    means that nothing speaks for the checkpoint here, and nothing against it."""

    name: str
    note: str
    findings: tuple[str, ...] = ()
    is_unchecked: bool = False

    @property
    def outcome(self) -> Outcome:
        if self.findings:
            return "failed"
        return "unchecked" if self.is_unchecked else "passed"
