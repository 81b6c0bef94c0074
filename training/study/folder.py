"""The folder of a study: per run a result or a failure, a checkpoint, certification logs and a lock."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from training.study.plan import Run
from training.study.result import Failure, RunResult, read, write_text
from zoo.errors import CheckpointError
from zoo.host.lock import exclusive_lock
from zoo.models.layout import MANIFEST

RESULTS = "results"

State = Literal["done", "missing", "failed", "running", "changed"]
"""`changed`: the folder contains a result of that name for another study file."""


@dataclass(frozen=True, slots=True)
class StudyFolder:
    """The files of one study's runs. A run with a result is done, even if its checkpoint was deleted."""

    path: Path

    def result_path(self, run: Run) -> Path:
        return self.path / RESULTS / f"{run.id}.json"

    def failure_path(self, run: Run) -> Path:
        return self.path / "failures" / f"{run.id}.json"

    def checkpoint_path(self, run_id: str) -> Path:
        return self.path / "checkpoints" / run_id

    def evaluation_path(self, run: Run) -> Path:
        return self.path / "evaluations" / f"{run.id}.tsv"

    def log_path(self, run: Run, sigma: float) -> Path:
        return self.path / "certifications" / f"{run.id}.sigma-{sigma:g}.tsv"

    def result(self, run: Run) -> RunResult | None:
        """The run's result; None if there is none. Raises: CheckpointError if it is damaged."""
        return read(self.result_path(run), RunResult)

    def failure(self, run: Run) -> Failure | None:
        """The run's failure; None if there is none. Raises: CheckpointError if the record is damaged."""
        return read(self.failure_path(run), Failure)

    def is_finished(self, run: Run) -> bool:
        """Whether the run has a result file. The file is not read."""
        return self.result_path(run).exists()

    def has_failed(self, run: Run) -> bool:
        """Whether the last attempt of the run failed."""
        return self.failure_path(run).exists()

    def state(self, run: Run) -> State:
        """The state of the run."""
        result = self.result(run)
        if result is not None:
            return "done" if result.request == run.request() else "changed"
        if self._is_held(run):
            return "running"
        return "failed" if self.has_failed(run) else "missing"

    def has_checkpoint(self, run_id: str) -> bool:
        """Whether a run's checkpoint exists, so that another run can start from it."""
        return (self.checkpoint_path(run_id) / MANIFEST).exists()

    def keep_result(self, run: Run, result: RunResult) -> None:
        """Writes the result, and deletes the record of an earlier failure."""
        write_text(self.result_path(run), result.model_dump_json(indent=2))
        self.failure_path(run).unlink(missing_ok=True)

    def keep_failure(self, run: Run, failure: Failure) -> None:
        """Writes the failure of the run."""
        write_text(self.failure_path(run), failure.model_dump_json(indent=2))

    @contextmanager
    def held(self, run: Run) -> Iterator[bool]:
        """Holds the run's lock during the block; False if another process holds it. A kill releases the lock.

        Raises: CheckpointError if the lock cannot be created.
        """
        path, busy = self._lock_path(run), BlockingIOError()
        with ExitStack() as stack:
            try:
                stack.enter_context(exclusive_lock(path, otherwise=busy))
            except OSError as error:
                if error is not busy:
                    raise CheckpointError(f"cannot use {path}: {error.strerror or error}") from error
                yield False
                return
            yield True

    def _is_held(self, run: Run) -> bool:
        if not self._lock_path(run).exists():
            return False
        with self.held(run) as is_free:
            return not is_free

    def _lock_path(self, run: Run) -> Path:
        return self.path / "locks" / f"{run.id}.lock"
