"""How a worker learns that it shall take no new requests: by a file, which outlives it and costs next to nothing.

TorchServe knows no draining: when it is terminated, it resets every connection. So its parent raises a
sign, the workers refuse what comes new, and when nothing is open any more TorchServe is ended.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

SIGNS = "ZOO_DRAINING"  # the environment variable by which a worker finds the folder of the signs
ALL = "everything"
LOOK_SECONDS = 0.1
FLUSHED_SECONDS = 0.4  # TorchServe has sent by then what a worker gave it


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


def wait_until_idle(num_open: Callable[[], float], *, seconds: float) -> bool:
    """Waits until no request is open; False if one still is after `seconds`."""
    started = last_open = time.monotonic()
    while True:
        time.sleep(LOOK_SECONDS)
        now = time.monotonic()
        if num_open() > 0:
            last_open = now
        if now - last_open >= FLUSHED_SECONDS:
            return True
        if now - started >= seconds:
            return False
