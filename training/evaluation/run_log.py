"""The log of a run over a test set: one row per image. A kill at any time loses no finished row.

A single process appends its rows to the log. With several ranks, each rank appends to its part file `LOG.part-RANK`,
which begins with the run's identity. The next start, and the ranks at their end, merge the parts into the log. Each
rank reads the parts that it sees. Rank 0 replaces the log atomically by the union. Only then are the parts deleted.
"""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from training.distributed import Ranks
from training.evaluation.run_record import run_record_path
from zoo.errors import LogError
from zoo.host.atomic_write import write_atomically
from zoo.host.lock import exclusive_lock


class Run(Protocol):
    """The run that a log belongs to. Two runs that differ cannot share a log."""

    def as_json(self) -> dict[str, Any]:
        """The run's identity, as it is recorded next to the log."""
        ...


class Row(Protocol):
    """The row of one image."""

    @property
    def idx(self) -> int: ...


R = TypeVar("R", bound=Row)


@dataclass(frozen=True, slots=True)
class RunLog(ABC, Generic[R]):
    """The rows of one run. `path` is the log; the run's record and the parts are next to it.

    A subclass defines the header, the format of a row, and the equality of two rows.
    """

    working: ClassVar[str]
    """The activity of a process that holds the log, for messages, such as "certifying"."""

    remark_names: ClassVar[tuple[str, ...]] = ()
    """The names of `remarks`."""

    path: Path
    run: Run

    @property
    def remarks(self) -> dict[str, Any]:
        """Values for readers that are recorded with the run's identity, and that later runs may differ in."""
        return {}

    @property
    @abstractmethod
    def header(self) -> str:
        """The log's first line, without its newline."""

    @abstractmethod
    def format_row(self, row: R) -> str:
        """The row's line, without its newline."""

    @abstractmethod
    def parse(self, text: str, *, source: str) -> list[R]:
        """The rows of a whole log. Raises: LogError that names `source` and the line if one is malformed."""

    @abstractmethod
    def is_same(self, row: R, other: R) -> bool:
        """Whether two rows of one image have the same result."""

    def merge(self, indices: Sequence[int], ranks: Ranks) -> list[R]:
        """All finished rows, in the order of `indices`. Collective.

        The log then contains exactly these rows, and the parts are deleted. Creates the log if it is missing. A line
        that a kill cut off is dropped. A row that occurs twice counts once.
        Raises: LogError if a file belongs to another run, contains an image that is not in `indices` or two results
        for one image, is malformed, or cannot be written.
        """
        with ranks.failing_together(), _using(self.path):
            parts = self._parts()
            own_rows = [
                *(self._read_log() if ranks.is_first else []),
                *(row for part in parts for row in self._rows_of(part)),
            ]
        rows_by_rank = ranks.all_gather(own_rows)
        with ranks.failing_together(), _using(self.path):
            rows = self._union((row for rows in rows_by_rank for row in rows), indices)
            if ranks.is_first:
                self._replace(rows)
        with ranks.failing_together(), _using(self.path):
            for part in parts:
                part.unlink(missing_ok=True)
        return rows

    @contextmanager
    def held(self, ranks: Ranks) -> Iterator[None]:
        """Excludes other processes from the log and its parts during the block. Collective.

        Raises: LogError if another process holds them.
        """
        lock = self.path.with_name(self.path.name + ".lock")
        busy = LogError(f"another process is {self.working} into {self.path}: wait until it ends")
        with ExitStack() as stack:
            with ranks.failing_together(), _using(lock):
                if ranks.is_first:
                    stack.enter_context(exclusive_lock(lock, otherwise=busy))
            yield

    @contextmanager
    def appending(self, ranks: Ranks) -> Iterator[Callable[[R], None]]:
        """A function that appends a row to this rank's file; the written rows survive a kill.

        Raises: LogError if the file cannot be written.
        """
        path = self.path if ranks.world_size == 1 else part_path(self.path, ranks.rank)
        with _writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            file = path.open("a" if path == self.path else "x")

        def append(line: str) -> None:
            with _writing(path):
                file.write(line + "\n")
                file.flush()

        try:
            if path != self.path:
                append(json.dumps(self.run.as_json()))
                append(self.header)
            yield lambda row: append(self.format_row(row))
        finally:
            with _writing(path):
                file.close()

    def _parts(self) -> list[Path]:
        pattern = re.compile(re.escape(self.path.name) + r"\.part-\d+")
        folder = self.path.parent
        return sorted(path for path in folder.iterdir() if pattern.fullmatch(path.name)) if folder.is_dir() else []

    def _read_log(self) -> list[R]:
        record = run_record_path(self.path)
        if not self.path.exists():
            write_atomically(record, json.dumps({**self.run.as_json(), **self.remarks}, indent=2) + "\n")
            return []
        with _using(record):
            identity = json.loads(record.read_text()) if record.exists() else None
        if isinstance(identity, dict):
            identity = {name: value for name, value in identity.items() if name not in self.remark_names}
        _require_same(self.path, identity, self.run)
        return self.parse(_whole_lines(self.path.read_text()) or self.header, source=str(self.path))

    def _rows_of(self, part: Path) -> list[R]:
        """The rows of a part; empty if its first line is incomplete."""
        identity, _, rest = _whole_lines(part.read_text()).partition("\n")
        if not identity:
            return []
        _require_same(part, json.loads(identity), self.run)
        return self.parse(rest or self.header, source=str(part))

    def _union(self, all_rows: Iterable[R], indices: Sequence[int]) -> list[R]:
        rows: dict[int, R] = {}
        for row in all_rows:
            first = rows.setdefault(row.idx, row)
            if not self.is_same(first, row):
                conflict = f"{self.path} and its parts contain two results for image {row.idx}"
                raise LogError(f"{conflict}: give another --output or delete them")
        if not rows.keys() <= set(indices):
            raise LogError(
                f"{self.path} contains images that --skip, --max and --images do not select: give another --output"
            )
        return [rows[index] for index in indices if index in rows]

    def _replace(self, rows: Sequence[R]) -> None:
        text = text_of(self.header, map(self.format_row, rows))
        if self.path.exists() and self.path.read_text() == text:
            return
        write_atomically(self.path, text)  # synced to disk, because the parts are deleted next


def identity_difference(recorded: object, current: Mapping[str, Any]) -> str:
    """The differences between the recorded and the current identity, for a message; empty if there is none."""
    if not isinstance(recorded, dict):
        return "the record of its run is missing"
    names = differing_fields(recorded, current)
    return "; ".join(f"{name} was {recorded.get(name)!r}, is {current.get(name)!r}" for name in names)


def differing_fields(recorded: Mapping[str, Any], current: Mapping[str, Any]) -> list[str]:
    """The names of the fields in which two identities differ."""
    return [name for name in {**current, **recorded} if recorded.get(name) != current.get(name)]


def text_of(header: str, lines: Iterable[str]) -> str:
    """The text of a complete log file."""
    return "\n".join([header, *lines]) + "\n"


def part_path(output: Path, rank: int) -> Path:
    """The path of a rank's rows until they are merged into the log."""
    return output.with_name(f"{output.name}.part-{rank}")


def _require_same(path: Path, recorded: object, run: Run) -> None:
    difference = identity_difference(recorded, run.as_json())
    if difference:
        raise LogError(f"{path} belongs to another run ({difference}): give another --output or delete it")


def _whole_lines(text: str) -> str:
    return text[: text.rfind("\n") + 1]


@contextmanager
def _using(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:  # json's errors are ValueErrors
        raise LogError(f"cannot use {path}: {error}") from error


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise LogError(
            f"cannot write {path}: {error}; the rows so far are kept, run the same command to resume"
        ) from error
