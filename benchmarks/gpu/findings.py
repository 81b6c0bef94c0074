"""The output of a section: figures, missing packages, failed and skipped parts."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

Status = Literal["passed", "failed", "lacking", "skipped"]
OWN_PACKAGES = ("zoo", "training", "serving", "handlers", "benchmarks", "tests")


class SkippedError(Exception):
    """Raised by a section or part that cannot run here; the message gives the reason."""


class Findings(dict[str, Any]):
    """The figures of a section by name, as JSON values.

    A section adds figures as it runs. A failure inside `part` does not affect the section's other parts. The current
    outcome is reported each time a part ends.
    """

    def __init__(self, tell: Callable[[dict[str, Any]], None] = lambda outcome: None) -> None:
        super().__init__()
        self._tell = tell
        self.failures: dict[str, str] = {}
        self.lacking: dict[str, str] = {}
        self.skipped: dict[str, str] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Records an exception of the block, with its traceback, as this part's failure."""
        try:
            yield
        except Exception as error:
            self.keep(name, error)
        self._tell(self.outcome())

    def keep(self, part: str, error: Exception) -> None:
        """Records the error that ended a part; the part `""` is the whole section."""
        missing = missing_package(error)
        if missing is not None:
            self.lacking[part] = missing
        elif isinstance(error, SkippedError):
            self.skipped[part] = str(error)
        else:
            self.failures[part] = "".join(traceback.format_exception(error))

    def outcome(self) -> dict[str, Any]:
        """The status and all figures, as JSON values."""
        status: Status = "passed"
        if self.failures:
            status = "failed"
        elif "" in self.lacking:
            status = "lacking"
        elif "" in self.skipped:
            status = "skipped"
        parts = {"failures": self.failures, "lacking": self.lacking, "skipped": self.skipped, "found": dict(self)}
        return json.loads(json.dumps({"status": status, **{name: value for name, value in parts.items() if value}}))


def missing_package(error: Exception) -> str | None:
    """The third-party package that an exception reports as missing; None for any other error."""
    if not isinstance(error, ModuleNotFoundError) or not error.name:
        return None
    package = error.name.partition(".")[0]
    return None if package in OWN_PACKAGES else package
