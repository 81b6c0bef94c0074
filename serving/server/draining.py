"""How a worker learns that it shall take no new requests: by a file, which outlives it and costs next to nothing.

TorchServe knows no draining: told to end, it resets every connection. So its parent raises a sign, the workers refuse
what comes new, and when nothing is open any more TorchServe is ended.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

SIGNS = "ZOO_DRAINING"  # the environment variable by which a worker finds the folder of the signs
ALL = "everything"


@dataclass(frozen=True, slots=True)
class DrainSign:
    """Whether one model's version, or the whole server, takes no new requests."""

    files: tuple[Path, ...]

    @classmethod
    def from_environment(cls, name: str, version: str) -> DrainSign:
        """The sign that the parent of this worker may raise; never up where there is no such parent."""
        folder = os.environ.get(SIGNS)
        return cls(()) if folder is None else cls((Path(folder) / ALL, sign_of(Path(folder), name, version)))

    def is_up(self) -> bool:
        return any(file.exists() for file in self.files)


def sign_of(folder: Path, name: str, version: str) -> Path:
    """The file whose existence drains one version of a model."""
    return folder / f"{name}@{version}"
