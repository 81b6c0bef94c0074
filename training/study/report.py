"""The parts of a study's documents that depend on its question: claims, tables and figures."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from training.study.claim import ClaimSet
from training.study.evidence import Evidence
from training.study.rendering import TextTable
from training.study.tables import StudyTable


class Figure(NamedTuple):
    """A drawn figure: the stem of its file name, its caption, and its PNG."""

    stem: str
    caption: str
    png: bytes

    @property
    def base64(self) -> str:
        return base64.b64encode(self.png).decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The claims of a report, and functions that make its other parts of the finished runs.

    `overview` is shown above the answers, `tables` below them; `tables` are also written as CSV.
    """

    claims: ClaimSet
    overview: Callable[[Evidence], list[TextTable]]
    tables: Callable[[Evidence], list[StudyTable]]
    figures: Callable[[Evidence], list[Figure]]
