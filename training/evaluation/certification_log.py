"""The log of a certification and, where several ranks certify, their parts beside it; safe from a kill at any time.

One process appends its rows to the log itself. Of several, each appends to a file of its own, `LOG.part-RANK`, which
begins with the run's identity; whoever starts next, and the ranks at their end, merge the parts into the log: each rank
reads the parts that it sees, rank 0 replaces the log by the union in one move, and only then the parts are deleted.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from training.distributed import Ranks
from training.evaluation.certification_run import CertificationRun, difference
from zoo.errors import LogError
from zoo.results.log import HEADER, CertificationRow, format_row, parse_log


@dataclass(frozen=True, slots=True)
class CertificationLog:
    """The rows of one run. `path` is the log, beside it lie its run's record and parts."""

    path: Path
    run: CertificationRun

    def merge(self, indices: Sequence[int], ranks: Ranks) -> list[CertificationRow]:
        """All finished rows, in the order of `indices`; the log then holds just these, and no part is left. Collective.

        Begins the log if there is none. A line cut off by a kill is dropped; a row that is held twice counts once.
        Raises: LogError if a file belongs to another run, holds another image than `indices` or an image with two
        answers, is malformed, or cannot be written.
        """
        with ranks.united(), _using(self.path):
            parts = self._parts()
            found = [
                *(self._read_log() if ranks.is_first else []),
                *(row for part in parts for row in _rows_of(part, self.run)),
            ]
        everywhere = ranks.gather_everywhere(found)
        with ranks.united(), _using(self.path):
            rows = self._union((row for rows in everywhere for row in rows), indices)
            if ranks.is_first:
                self._replace(rows)
        with ranks.united(), _using(self.path):
            for part in parts:
                part.unlink(missing_ok=True)
        return rows

    @contextmanager
    def held(self, ranks: Ranks) -> Iterator[None]:
        """Inside, no other start may touch the log or its parts. Collective.

        Raises: LogError if another one does.
        """
        lock = self.path.with_name(self.path.name + ".lock")
        with ranks.united(), _using(lock):
            if ranks.is_first:
                lock.parent.mkdir(parents=True, exist_ok=True)
                file = lock.open("w")
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    file.close()
                    raise LogError(f"another process is certifying into {self.path}: let it end") from None
        try:
            yield
        finally:
            if ranks.is_first:
                lock.unlink(missing_ok=True)
                file.close()

    @contextmanager
    def appending(self, ranks: Ranks) -> Iterator[Callable[[CertificationRow], None]]:
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
                append(HEADER)
            yield lambda row: append(format_row(row))
        finally:
            with _writing(path):
                file.close()

    def _parts(self) -> list[Path]:
        pattern = re.compile(re.escape(self.path.name) + r"\.part-\d+")
        folder = self.path.parent
        return sorted(path for path in folder.iterdir() if pattern.fullmatch(path.name)) if folder.is_dir() else []

    def _read_log(self) -> list[CertificationRow]:
        record = run_record_path(self.path)
        if not self.path.exists():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            record.write_text(json.dumps(self.run.as_json(), indent=2) + "\n")
            return []
        with _using(record):
            found = json.loads(record.read_text()) if record.exists() else None
        _require_same(self.path, found, self.run)
        return parse_log(_whole_lines(self.path.read_text()) or HEADER, source=str(self.path))

    def _union(self, found: Iterable[CertificationRow], indices: Sequence[int]) -> list[CertificationRow]:
        rows: dict[int, CertificationRow] = {}
        for row in found:
            first = rows.setdefault(row.idx, row)
            if replace(first, time=row.time) != row:
                held = f"{self.path} and its parts hold two answers for image {row.idx}"
                raise LogError(f"{held}: give another --output or delete them")
        if not rows.keys() <= set(indices):
            raise LogError(f"{self.path} holds other images than --skip and --max now choose: give another --output")
        return [rows[index] for index in indices if index in rows]

    def _replace(self, rows: Sequence[CertificationRow]) -> None:
        text = log_text(rows)
        if self.path.exists() and self.path.read_text() == text:
            return
        temporary = self.path.with_name(self.path.name + ".tmp")
        with temporary.open("w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())  # the parts are deleted next
        temporary.replace(self.path)


def log_text(rows: Iterable[CertificationRow]) -> str:
    """A whole log as it stands in its file."""
    return "\n".join([HEADER, *(format_row(row) for row in rows)]) + "\n"


def run_record_path(output: Path) -> Path:
    """Where a log's run is recorded: beside the log, since its columns are those that other tools expect."""
    return output.with_name(output.name + ".run.json")


def part_path(output: Path, rank: int) -> Path:
    """Where a rank keeps its rows until they are merged into the log."""
    return output.with_name(f"{output.name}.part-{rank}")


def _rows_of(part: Path, run: CertificationRun) -> list[CertificationRow]:
    """The rows of a part; none if not even its first line was finished."""
    identity, _, rest = _whole_lines(part.read_text()).partition("\n")
    if not identity:
        return []
    _require_same(part, json.loads(identity), run)
    return parse_log(rest or HEADER, source=str(part))


def _require_same(path: Path, found: object, run: CertificationRun) -> None:
    differs = difference(found, run.as_json())
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
