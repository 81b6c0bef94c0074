"""Executes a study's missing runs one after another; several processes can share the work."""

from __future__ import annotations

import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from training.study.folder import StudyFolder
from training.study.plan import Run
from training.study.result import Failure, RunResult
from training.study.run import RunEnvironment, execute_run
from zoo.errors import RequestError, ZooError


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """The share of the runs that one process takes.

    The share is every `of`-th run from run `number` on, counted from 1. The process starts no run after `max_hours`.
    """

    number: int = 1
    of: int = 1
    retries_failed: bool = False
    max_hours: float | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.of:
            raise RequestError(f"--only must be I/N with I from 1 to N, got {self.number}/{self.of}")

    def runs_of(self, runs: Sequence[Run]) -> list[Run]:
        """The shard's runs."""
        return list(runs[self.number - 1 :: self.of])


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The result of one process by run id.

    `done` and `failed` (with the error message) are the runs of this process. `waiting` maps each run that needs an
    unfinished run to that run. `left` are the other remaining runs.
    """

    done: tuple[str, ...]
    failed: dict[str, str]
    waiting: dict[str, str]
    left: tuple[str, ...]


@dataclass(slots=True, kw_only=True)
class Execution:
    """One process's work on a study: `own` are those of the study's `runs` that the process may execute."""

    study: str
    runs: Sequence[Run]
    own: Sequence[Run]
    folder: StudyFolder
    environment: RunEnvironment
    shard: Shard
    done: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)

    def run(self) -> Outcome:
        """Executes the own runs that are missing and whose starting point exists, until none is left or time is up.

        A failed run is reported and recorded, and execution continues with the next run.
        Raises: RequestError if a result was requested by another study file; CheckpointError if a record cannot be read
        or written.
        """
        self.require_same_study()
        while not self.is_time_up() and self._do_next():
            pass
        return self.outcome()

    def is_time_up(self) -> bool:
        """Whether no further run may be started."""
        limit = self.shard.max_hours
        return limit is not None and time.monotonic() - self.started >= 3600 * limit

    def ready(self) -> list[Run]:
        """The own runs that are missing and whose starting point exists."""
        return [run for run in self._missing() if not self._waits(run)]

    def add(self, outcome: Outcome) -> None:
        """Reports the runs that another process has executed, and counts them as this process's."""
        runs = {run.id: run for run in self.runs}
        for id in outcome.done:
            result = self.folder.result(runs[id])
            self.report(f"{id}: {'done' if result is None else _in_words(result)}")
        for id, message in outcome.failed.items():
            self.report(f"{id} failed: {message}")
        self.done.extend(outcome.done)
        self.failed.update(outcome.failed)

    def outcome(self) -> Outcome:
        """What was done so far, and what remains."""
        missing = self._missing()
        waiting = {run.id: run.parent for run in missing if run.parent is not None and self._waits(run)}
        left = tuple(run.id for run in missing if run.id not in waiting)
        return Outcome(done=tuple(self.done), failed=self.failed, waiting=waiting, left=left)

    def _do_next(self) -> bool:
        """Executes the first run that is ready and that no other process holds; False if there is none."""
        for run in self.ready():
            with self.folder.held(run) as is_free:
                if is_free and self._is_missing(run):  # another process may have just finished it
                    self._attempt(run)
                    return True
        return False

    def _attempt(self, run: Run) -> None:
        self.report(f"{run.id} ...")
        try:
            result = execute_run(run, self.folder, self.environment, study=self.study)
        except Exception as error:  # one failing run must not stop the others
            self.failed[run.id] = _message(error)
            self.report(f"{run.id} failed: {self.failed[run.id]}")
            self.folder.keep_failure(run, _failure(run, error))
            return
        self.folder.keep_result(run, result)
        self.done.append(run.id)
        self.report(f"{run.id}: {_in_words(result)}")

    def _missing(self) -> list[Run]:
        return [run for run in self.own if self._is_missing(run)]

    def _is_missing(self, run: Run) -> bool:
        """Whether the run must be executed: it has no result, or its network is gone and another run needs it."""
        if run.id in self.failed or (self.folder.has_failed(run) and not self.shard.retries_failed):
            return False
        return not self.folder.is_finished(run) or self._is_needed_again(run)

    def _is_needed_again(self, run: Run) -> bool:
        if self.folder.has_checkpoint(run.id):
            return False
        return any(other.parent == run.id and not self.folder.is_finished(other) for other in self.runs)

    def _waits(self, run: Run) -> bool:
        """Whether the parent run is unfinished or its network is missing."""
        parent = next((other for other in self.runs if other.id == run.parent), None)
        if parent is None:
            return False
        return not (self.folder.is_finished(parent) and self.folder.has_checkpoint(parent.id))

    def require_same_study(self) -> None:
        """Raises RequestError if a result was requested by another study file."""
        for run in self.runs:
            result = self.folder.result(run)
            if result is None or result.request == run.request():
                continue
            names = sorted(name for name, value in run.request().items() if result.request.get(name) != value)
            raise RequestError(
                f"{self.folder.result_path(run)} was requested by another study file ({', '.join(names)} differ): "
                "delete it to run it again, or choose another --folder"
            )

    def report(self, line: str) -> None:
        """Prints a line of progress."""
        self.environment.console.print(line, markup=False, highlight=False, soft_wrap=True)


def _failure(run: Run, error: Exception) -> Failure:
    return Failure(
        id=run.id,
        request=run.request(),
        message=_message(error),
        traceback="".join(traceback.format_exception(error)),
        failed=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _message(error: Exception) -> str:
    return str(error) if isinstance(error, ZooError) else f"{type(error).__name__}: {error}"


def _in_words(result: RunResult) -> str:
    parts = [f"{result.seconds.total:.0f} s"]
    if result.empirical is not None:
        parts.append(f"SA {100 * result.empirical.standard_accuracy:.1f} %")
        if result.empirical.robust_accuracy is not None:
            parts.append(f"RA {100 * result.empirical.robust_accuracy:.1f} %")
    for certification in result.certifications:
        parts.append(f"ACR {certification.average_certified_radius or 0.0:.3f} at sigma {certification.sigma:g}")
    return ", ".join(parts)
