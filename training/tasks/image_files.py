"""Pictures in files, which are decoded on access; and the digest of a folder's files."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from zoo.errors import ImageError, TaskError
from zoo.models.preprocessing import require_8_bits


@dataclass(frozen=True, slots=True)
class ImageFiles:
    """Pictures in files, which are decoded on access."""

    paths: Sequence[str]
    labels: Sequence[int]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> Image.Image:
        return decode(self.paths[index], name=self.paths[index])


def decode(source: str | BinaryIO, *, name: str) -> Image.Image:
    """The picture in RGB, converted from gray, palette or CMYK if necessary.

    Raises: TaskError, whose message begins with `name`, if the picture cannot be decoded or has more than 8 bits per
    channel.
    """
    try:
        with Image.open(source) as image:
            require_8_bits(image)
            return image.convert("RGB")
    except (OSError, Image.DecompressionBombError) as error:
        raise TaskError(f"{name} cannot be decoded: {error}") from error
    except ImageError as error:
        raise TaskError(f"{name}: {error}") from error


def folder_digest(root: Path) -> str:
    """SHA-256 of the files' names and sizes; detects whether a folder changed since training or certification."""
    files = sorted(
        f"{path.relative_to(root).as_posix()} {path.stat().st_size}" for path in root.rglob("*") if path.is_file()
    )
    return hashlib.sha256("\n".join(files).encode()).hexdigest()
