"""Log of a run's metrics: `.run/log.jsonl` with one JSON line per step in full precision, and TensorBoard scalars."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

from zoo.errors import CheckpointError
from zoo.host.atomic_write import write_atomically

LOG, SCALARS = "log.jsonl", "scalars"


class MetricLogger(AbstractContextManager["MetricLogger"]):
    """Appends metrics to both files. It first drops the lines that an interrupted run logged after its last full epoch.

    Raises: CheckpointError, from every method, if a file cannot be written.
    """

    def __init__(self, folder: Path, *, steps_done: int) -> None:
        self._path = folder / LOG
        try:
            kept = [line for line in _lines(self._path) if json.loads(line)["step"] <= steps_done]
            write_atomically(self._path, "".join(kept))
            self._log = self._path.open("a")
            self._scalars = _Scalars(folder / SCALARS, steps_done=steps_done)
        except OSError as error:
            raise self._failed(error) from error

    def write(self, kind: str, values: Mapping[str, float], *, step: int) -> None:
        """Appends the values of `kind` "train" or "validation"; `step` is the number of finished steps."""
        try:
            self._log.write(json.dumps({"step": step, "kind": kind, **values}) + "\n")
            self._log.flush()
            self._scalars.write({f"{kind}/{name}": value for name, value in values.items()}, step=step)
        except OSError as error:
            raise self._failed(error) from error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._log.close()
            self._scalars.close()
        except OSError as failure:
            if error is None:
                raise self._failed(failure) from failure

    def _failed(self, error: OSError) -> CheckpointError:
        return CheckpointError(
            f"cannot write {self._path}: {error.strerror or error}; the last finished epoch is kept, "
            "add --resume to continue"
        )


class NullLogger(MetricLogger):
    """The logger of every rank except the first; it discards everything."""

    def __init__(self) -> None:
        pass

    def write(self, kind: str, values: Mapping[str, float], *, step: int) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


class _Scalars:
    """TensorBoard's event file, written in this thread: its own writer thread prints a traceback on a full disk."""

    def __init__(self, folder: Path, *, steps_done: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = (folder / f"events.out.tfevents.{time.time_ns()}").open("ab", buffering=0)
        self._records = RecordWriter(self._file)
        self._append(Event(file_version="brain.Event:2"))
        # Makes TensorBoard ignore the events of earlier files from this step on.
        self._append(Event(step=steps_done + 1, session_log=SessionLog(status=SessionLog.START)))

    def write(self, values: Mapping[str, float], *, step: int) -> None:
        scalars = [Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
        self._append(Event(step=step, summary=Summary(value=scalars)))

    def close(self) -> None:
        self._file.close()

    def _append(self, event: Event) -> None:
        event.wall_time = time.time()
        self._records.write(event.SerializeToString())


def read_log(folder: Path) -> list[dict[str, float]]:
    """The complete lines of a run's log; a truncated last line is left out."""
    return [json.loads(line) for line in _lines(folder / LOG)]


def _lines(path: Path) -> list[str]:
    if not path.exists():
        return []
    return [line for line in path.read_text().splitlines(keepends=True) if line.endswith("}\n")]
