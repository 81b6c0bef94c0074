"""Finds the checkpoints, documents, logs and audit reports in folders."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zoo.errors import RequestError
from zoo.host.untrusted_json import parse_json
from zoo.models.layout import MANIFEST

DOCUMENTS, LOGS = ".json", ".tsv"


@dataclass(frozen=True, slots=True)
class Content:
    """A file's bytes. `name` starts with the name of the folder that was given, without the path to it."""

    name: str
    data: bytes

    @property
    def sha256(self) -> str:
        """The SHA-256 of the bytes, in hex."""
        return hashlib.sha256(self.data).hexdigest()

    def parsed(self) -> dict[str, Any]:
        """The JSON object. Raises: ValueError if the file contains anything else."""
        value = parse_json(self.data)
        if not isinstance(value, dict):
            raise ValueError("it is not a JSON object")
        return value


@dataclass(slots=True)
class Found:
    """Everything that the folders contain, in the order of the folders; checkpoints with their names in the site."""

    checkpoints: list[tuple[str, Path]] = field(default_factory=list)
    documents: list[Content] = field(default_factory=list)
    logs: list[Content] = field(default_factory=list)


def find(folders: Sequence[Path]) -> Found:
    """The contents of the folders, searched at any depth, except in hidden folders and behind links.

    A folder with a manifest is a checkpoint. Other files than JSON documents and logs are ignored.
    Raises: RequestError if a folder does not exist, a file cannot be read, or there is nothing to show.
    """
    found = Found()
    for folder in folders:
        if not folder.is_dir():
            raise RequestError(f"{folder} is not a folder of checkpoints or leaderboard documents")
        for path in _checkpoints_and_files(folder):
            if path.is_dir():
                found.checkpoints.append((name_below(folder, path), path))
                continue
            kept = found.documents if path.suffix == DOCUMENTS else found.logs
            kept.append(Content(name_below(folder, path), _read(path)))
    if not found.checkpoints and not found.documents:
        named = ", ".join(map(str, folders))
        raise RequestError(f"{named}: no checkpoint and no JSON document; zoo show MODEL --leaderboard writes one")
    return found


def name_below(folder: Path, path: Path) -> str:
    """The path from the folder's own name on, which the site shows."""
    return str(Path(folder.resolve().name) / path.relative_to(folder))


def _checkpoints_and_files(folder: Path) -> Iterator[Path]:
    if (folder / MANIFEST).is_file():
        yield folder
        return
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.is_symlink():
            continue
        if path.is_dir():
            yield from _checkpoints_and_files(path)
        elif path.suffix in (DOCUMENTS, LOGS):
            yield path


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise RequestError(f"{path} cannot be read: {error.strerror or error}") from error
