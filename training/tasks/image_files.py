"""Pictures in files, which are decoded on access; and the digest of files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from zoo.errors import ImageError, TaskError
from zoo.models.decoding import read_picture


@dataclass(frozen=True, slots=True)
class ImageFiles:
    """Pictures in files, which are decoded on access."""

    paths: Sequence[str]
    labels: Sequence[int]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> Image.Image:
        return read_picture(self.paths[index])

    def name_of(self, index: int) -> str:
        return self.paths[index]

    def num_bytes(self, index: int) -> int:
        return Path(self.paths[index]).stat().st_size

    def encoded(self, index: int, *, most: int | None = None) -> bytes:
        return read_bytes(self.paths[index], most=most)


def read_bytes(path: str, *, most: int | None = None) -> bytes:
    """The bytes of a picture's file, or the first `most`. Raises: ImageError, which names the file."""
    try:
        with Path(path).open("rb") as file:
            return file.read(most)
    except OSError as error:
        raise ImageError(f"cannot read {path}: {error.strerror or error}") from error


def files_digest(root: Path, paths: Iterable[str]) -> str:
    """SHA-256 of the files' names below `root` and their sizes; other files in the folder do not affect it.

    It detects whether the files changed since training or certification. Raises: TaskError for a file that is missing.
    """
    below = f"{root}/"
    try:
        lines = sorted(f"{path.removeprefix(below)} {Path(path).stat().st_size}" for path in paths)
    except OSError as error:
        raise TaskError(f"cannot read {error.filename}: {error.strerror or error}") from error
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
