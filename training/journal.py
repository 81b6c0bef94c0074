"""What a run says of its steps: `.run/log.jsonl`, a line of JSON each, to the last digit; and TensorBoard's scalars."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType

from torch.utils.tensorboard import SummaryWriter

from zoo.errors import CheckpointError

LOG, SCALARS = "log.jsonl", "scalars"


class Journal(AbstractContextManager["Journal"]):
    """Appends to both files. What a run that was cut off had logged beyond its last finished epoch is dropped first.

    Raises: CheckpointError, from every call, if a file cannot be written.
    """

    def __init__(self, folder: Path, *, steps_done: int) -> None:
        self._path = folder / LOG
        try:
            kept = [line for line in _lines(self._path) if json.loads(line)["step"] <= steps_done]
            self._path.write_text("".join(kept))
            self._log = self._path.open("a")
            self._scalars = SummaryWriter(str(folder / SCALARS), purge_step=steps_done)
        except OSError as error:
            raise self._failed(error) from error

    def write(self, kind: str, values: Mapping[str, float], *, step: int) -> None:
        """One line of `kind` "train" or "validation": how many steps are done, and what they led to."""
        try:
            self._log.write(json.dumps({"step": step, "kind": kind, **values}) + "\n")
            self._log.flush()
            for name, value in values.items():
                self._scalars.add_scalar(f"{kind}/{name}", value, step)
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
            "add --resume to go on"
        )


class Silence(Journal):
    """The journal of every rank but the first."""

    def __init__(self) -> None:
        pass

    def write(self, kind: str, values: Mapping[str, float], *, step: int) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


def read_log(folder: Path) -> list[dict[str, float]]:
    """The lines of a run's log; a last one that was cut off is left out."""
    return [json.loads(line) for line in _lines(folder / LOG)]


def _lines(path: Path) -> list[str]:
    if not path.exists():
        return []
    return [line for line in path.read_text().splitlines(keepends=True) if line.endswith("}\n")]
