"""The log of a certification."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import ClassVar

from training.evaluation.certification_run import CertificationRun
from training.evaluation.run_log import RunLog, part_path, run_record_path, text_of
from zoo.results.log import HEADER, CertificationRow, format_row, parse_log

__all__ = ["CertificationLog", "log_text", "part_path", "run_record_path"]


@dataclass(frozen=True, slots=True)
class CertificationLog(RunLog[CertificationRow]):
    """The rows of one certification; how long a row took is no part of its answer."""

    working: ClassVar[str] = "certifying"
    header: ClassVar[str] = HEADER

    run: CertificationRun

    def format_row(self, row: CertificationRow) -> str:
        return format_row(row)

    def parse(self, text: str, *, source: str) -> list[CertificationRow]:
        return parse_log(text, source=source)

    def is_same(self, row: CertificationRow, other: CertificationRow) -> bool:
        return replace(row, time=other.time) == other


def log_text(rows: Iterable[CertificationRow]) -> str:
    """A whole log as it stands in its file."""
    return text_of(HEADER, map(format_row, rows))
