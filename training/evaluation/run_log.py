"""The log of work on a test set, a row an image, and, where several ranks work, their parts beside it; safe from a kill
at any time.

One process appends its rows to the log itself. Of several, each appends to a file of its own, `LOG.part-RANK`, which
begins with the run's identity; whoever starts next, and the ranks at their end, merge the parts into the log: each rank
reads the parts that it sees, rank 0 replaces the log by the union in one move, and only then the parts are deleted.
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
from zoo.errors import LogError
from zoo.filesystem.atomic_write import write_atomically
from zoo.filesystem.lock import exclusive_lock


class Run(Protocol):
    """What a log is of. Two runs that differ cannot share a log."""

    def as_json(self) -> dict[str, Any]:
        """The run's identity, as it is recorded beside the log and read back."""
        ...


class Row(Protocol):
    """One image's line."""

    @property
    def idx(self) -> int: ...


R = TypeVar("R", bound=Row)


@dataclass(frozen=True, slots=True)
class RunLog(ABC, Generic[R]):
    """The rows of one run. `path` is the log, beside it lie its run's record and parts.

    A kind of log says its header, how a row is written and read, and when two rows are the same answer.
    """

    working: ClassVar[str]
    """What a process that holds the log does, in words."""

    path: Path
    run: Run

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
        """Whether two rows of one image say the same."""

    def merge(self, indices: Sequence[int], ranks: Ranks) -> list[R]:
        """All finished rows, in the order of `indices`; the log then holds just these, and no part is left. Collective.

        Begins the log if there is none. A line cut off by a kill is dropped; a row that is held twice counts once.
        Raises: LogError if a file belongs to another run, holds another image than `indices` or an image with two
        answers, is malformed, or cannot be written.
        """
        with ranks.failing_together(), _using(self.path):
            parts = self._parts()
            found = [
                *(self._read_log() if ranks.is_first else []),
                *(row for part in parts for row in self._rows_of(part)),
            ]
        everywhere = ranks.all_gather(found)
        with ranks.failing_together(), _using(self.path):
            rows = self._union((row for rows in everywhere for row in rows), indices)
            if ranks.is_first:
                self._replace(rows)
        with ranks.failing_together(), _using(self.path):
            for part in parts:
                part.unlink(missing_ok=True)
        return rows

    @contextmanager
    def held(self, ranks: Ranks) -> Iterator[None]:
        """Inside, no other start may touch the log or its parts. Collective.

        Raises: LogError if another one does.
        """
        lock = self.path.with_name(self.path.name + ".lock")
        busy = LogError(f"another process is {self.working} into {self.path}: let it end")
        with ExitStack() as stack:
            with ranks.failing_together(), _using(lock):
                if ranks.is_first:
                    stack.enter_context(exclusive_lock(lock, otherwise=busy))
            yield

    @contextmanager
    def appending(self, ranks: Ranks) -> Iterator[Callable[[R], None]]:
        """A function that appends a row to this rank's file; what it has written survives a kill.

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
            write_atomically(record, json.dumps(self.run.as_json(), indent=2) + "\n")
            return []
        with _using(record):
            found = json.loads(record.read_text()) if record.exists() else None
        _require_same(self.path, found, self.run)
        return self.parse(_whole_lines(self.path.read_text()) or self.header, source=str(self.path))

    def _rows_of(self, part: Path) -> list[R]:
        """The rows of a part; none if not even its first line was finished."""
        identity, _, rest = _whole_lines(part.read_text()).partition("\n")
        if not identity:
            return []
        _require_same(part, json.loads(identity), self.run)
        return self.parse(rest or self.header, source=str(part))

    def _union(self, found: Iterable[R], indices: Sequence[int]) -> list[R]:
        rows: dict[int, R] = {}
        for row in found:
            first = rows.setdefault(row.idx, row)
            if not self.is_same(first, row):
                held = f"{self.path} and its parts hold two answers for image {row.idx}"
                raise LogError(f"{held}: give another --output or delete them")
        if not rows.keys() <= set(indices):
            raise LogError(f"{self.path} holds other images than --skip and --max now choose: give another --output")
        return [rows[index] for index in indices if index in rows]

    def _replace(self, rows: Sequence[R]) -> None:
        text = text_of(self.header, map(self.format_row, rows))
        if self.path.exists() and self.path.read_text() == text:
            return
        write_atomically(self.path, text)  # which is on the disk then: the parts are deleted next


def identity_difference(found: object, wanted: Mapping[str, Any]) -> str:
    """In words, where the identity that was found is not the one wanted; empty if it is."""
    if not isinstance(found, dict):
        return "the record of its run is missing"
    names = differing_fields(found, wanted)
    return "; ".join(f"{name} was {found.get(name)!r}, is {wanted.get(name)!r}" for name in names)


def differing_fields(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """What two identities do not share."""
    return [name for name in {**wanted, **found} if found.get(name) != wanted.get(name)]


def text_of(header: str, lines: Iterable[str]) -> str:
    """A whole log as it stands in its file."""
    return "\n".join([header, *lines]) + "\n"


def run_record_path(output: Path) -> Path:
    """Where a log's run is recorded: beside the log, since its columns are those that other tools expect."""
    return output.with_name(output.name + ".run.json")


def part_path(output: Path, rank: int) -> Path:
    """Where a rank keeps its rows until they are merged into the log."""
    return output.with_name(f"{output.name}.part-{rank}")


def _require_same(path: Path, found: object, run: Run) -> None:
    differs = identity_difference(found, run.as_json())
    if differs:
        raise LogError(f"{path} belongs to another run ({differs}): give another --output or delete it")


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
            f"cannot write {path}: {error}; the rows so far are kept, run the same command to go on"
        ) from error
