"""Records the steps of a check and their results in one JSON file, which is updated after every step."""

from __future__ import annotations

import json
import os
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from examples.network_check.budget import Budget, OutOfTime
from zoo.errors import RequestError, ZooError

FILE = "network_check.json"
SCHEMA_VERSION = 1
EMPTY = {"schema_version": SCHEMA_VERSION, "steps": {}, "left_behind": []}

# finding: the response is not the expected one; unfinished: interrupted, or not started in this run.
Outcome = Literal["passed", "finding", "failed", "skipped", "unfinished"]
NOT_BEGUN = "not started: the run's time limit was reached; run the check again to resume"
NOT_GOOD: frozenset[Outcome] = frozenset({"finding", "failed", "unfinished"})


class FailedCheckError(Exception):
    """Raised by a check that failed; the message is shown to the user."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The result of a step: the outcome, one sentence, and facts for programs and for later steps."""

    outcome: Outcome
    sentence: str
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step(Result):
    """A result in the record. `about` identifies the checked object: a pass is valid for the same `about` only."""

    about: str
    seconds: float
    traceback: str | None = None


class Record:
    """The record of a directory, including earlier runs.

    `ran` lists the steps of this run in order, and `not_begun` those that the time limit prevented.
    """

    def __init__(self, output: Path, *, budget: Budget, tell: Callable[[str], None] = print) -> None:
        """Creates the directory. Raises: RequestError if it is not writable, or its file is not a record."""
        self.path = output / FILE
        self.budget = budget
        self.ran: list[str] = []
        self.not_begun: list[str] = []
        self._tell = tell
        try:
            output.mkdir(parents=True, exist_ok=True)
            content: dict[str, Any] = json.loads(self.path.read_text()) if self.path.exists() else EMPTY
            if content["schema_version"] != SCHEMA_VERSION:
                raise ValueError("another schema version")
            self.steps = {name: Step(**step) for name, step in content["steps"].items()}
            self.left_behind: list[str] = list(content["left_behind"])
            self.write()
        except OSError as error:
            raise RequestError(f"cannot write {output}: {error.strerror or error}") from error
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise RequestError(f"{self.path} is not a record of this check ({error}): use another --output") from error

    def do(self, name: str, call: Callable[[], Result], *, about: str, always: bool = False) -> Result:
        """The result of the step, which runs unless it has already passed for the same `about`.

        Args:
            name: The step's name in the record.
            call: The step.
            about: The checked object.
            always: Whether the step runs even if it has passed or the time limit is reached; for cleaning up.

        Raises: KeyboardInterrupt, after recording the step as unfinished.
        """
        self.ran.append(name)
        if self.has_passed(name, about=about) and not always:
            self._tell(f"{'before':10} {name}: {self.steps[name].sentence}")
            return self.steps[name]
        started = time.monotonic()
        if self.budget.is_spent and not always:
            self.not_begun.append(name)
            return self._keep(name, Result(outcome="unfinished", sentence=NOT_BEGUN), about, started)
        try:
            if always:
                result = call()
            else:
                with self.budget.alarm():
                    result = call()
        except KeyboardInterrupt:
            interrupted = Result(outcome="unfinished", sentence="interrupted; run the check again to resume")
            self._keep(name, interrupted, about, started, traceback.format_exc())
            raise
        except OutOfTime:
            timed_out = Result(outcome="unfinished", sentence=self.budget.cut_off)
            return self._keep(name, timed_out, about, started, traceback.format_exc())
        except Exception as error:
            failed = Result(outcome="failed", sentence=sentence_of(error))
            return self._keep(name, failed, about, started, traceback.format_exc())
        return self._keep(name, result, about, started)

    def has_passed(self, name: str, *, about: str) -> bool:
        """Whether the step passed, in this run or an earlier one, for the same `about`."""
        step = self.steps.get(name)
        return step is not None and step.outcome == "passed" and step.about == about

    def withdraw(self, name: str, *, because: str) -> None:
        """Changes a passed step to failed, because a later step has shown that it was wrong."""
        self.steps[name] = replace(self.steps[name], outcome="failed", sentence=because)

    def facts(self, name: str) -> Mapping[str, Any] | None:
        """The facts of a step that passed; None for any other step."""
        step = self.steps.get(name)
        return step.facts if step is not None and step.outcome == "passed" else None

    def _keep(self, name: str, result: Result, about: str, started: float, trace: str | None = None) -> Result:
        seconds = round(time.monotonic() - started, 3)
        self.steps[name] = Step(
            outcome=result.outcome,
            sentence=result.sentence,
            facts=result.facts,
            about=about,
            seconds=seconds,
            traceback=trace,
        )
        self.write()
        if result.sentence != NOT_BEGUN:
            self._tell(f"{result.outcome:10} {name}: {result.sentence}")
        return result

    def write(self) -> None:
        """Replaces the file with the current record."""
        content = {
            "schema_version": SCHEMA_VERSION,
            "left_behind": self.left_behind,
            "steps": {name: asdict(step) for name, step in self.steps.items()},
        }
        partial = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        partial.write_text(json.dumps(content, indent=2) + "\n")
        partial.replace(self.path)


def sentence_of(error: Exception) -> str:
    """One line about an error; starts with the class name unless the error is ours."""
    text = " ".join(str(error).split())
    if isinstance(error, FailedCheckError | ZooError) and text:
        return text
    return f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__
