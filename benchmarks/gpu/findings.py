"""What a section gives back: figures, what it lacked, and which of its parts failed."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

Status = Literal["passed", "failed", "lacking", "skipped"]
OWN_PACKAGES = ("zoo", "training", "serving", "handlers", "benchmarks", "tests")


class SkippedError(Exception):
    """A section, or a part of one, has nothing to do here; the message says why."""


class Findings(dict[str, Any]):
    """The figures of a section by name, JSON values all.

    A section writes them as it goes. What fails inside `part` costs the section's other parts nothing, and
    what was found by then is told each time that a part ends.
    """

    def __init__(self, tell: Callable[[dict[str, Any]], None] = lambda outcome: None) -> None:
        super().__init__()
        self._tell = tell
        self.failures: dict[str, str] = {}
        self.lacking: dict[str, str] = {}
        self.skipped: dict[str, str] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Keeps an exception of the block with its traceback, as this part's."""
        try:
            yield
        except Exception as error:
            self.keep(name, error)
        self._tell(self.outcome())

    def keep(self, part: str, error: Exception) -> None:
        """Records why a part, or the whole section as the part `""`, did not come to its end."""
        missing = missing_package(error)
        if missing is not None:
            self.lacking[part] = missing
        elif isinstance(error, SkippedError):
            self.skipped[part] = str(error)
        else:
            self.failures[part] = "".join(traceback.format_exception(error))

    def outcome(self) -> dict[str, Any]:
        """The status and all that was found, as JSON values."""
        status: Status = "passed"
        if self.failures:
            status = "failed"
        elif "" in self.lacking:
            status = "lacking"
        elif "" in self.skipped:
            status = "skipped"
        told = {"failures": self.failures, "lacking": self.lacking, "skipped": self.skipped, "found": dict(self)}
        return json.loads(json.dumps({"status": status, **{name: value for name, value in told.items() if value}}))


def missing_package(error: Exception) -> str | None:
    """The package whose absence an exception tells of; None for any other error, and if the package is our own."""
    if not isinstance(error, ModuleNotFoundError) or not error.name:
        return None
    package = error.name.partition(".")[0]
    return None if package in OWN_PACKAGES else package
