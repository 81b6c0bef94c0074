"""Draining of workers by sign files, which survive a worker's restart and are cheap to check.

The parent process creates a sign file, the workers refuse new requests while the file exists, and the parent ends the
server once no request is open. TorchServe has no draining of its own: a terminated TorchServe resets every connection.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

SIGNS = "ZOO_DRAINING"  # the environment variable with the folder of the sign files
ALL = "everything"
LOOK_SECONDS = 0.1
FLUSHED_SECONDS = 0.4  # within this time TorchServe sends the responses that it got from a worker


@dataclass(frozen=True, slots=True)
class DrainSign:
    """The sign that one version of a model, or the whole server, accepts no new requests."""

    files: tuple[Path, ...]

    @classmethod
    def from_environment(cls, name: str, version: str) -> DrainSign:
        """The sign that this worker's parent process may raise. Without such a parent it is never up."""
        folder = os.environ.get(SIGNS)
        return cls(()) if folder is None else cls.in_folder(Path(folder), name, version)

    @classmethod
    def in_folder(cls, folder: Path, name: str, version: str) -> DrainSign:
        """The sign that the parent process may raise in a folder."""
        return cls((folder / ALL, sign_of(folder, name, version)))

    def is_up(self) -> bool:
        """Whether new requests must be refused."""
        return any(file.exists() for file in self.files)


def sign_of(folder: Path, name: str, version: str) -> Path:
    """The file whose existence drains one version of a model."""
    return folder / f"{name}@{version}"


def wait_until_idle(num_open: Callable[[], float], *, seconds: float) -> bool:
    """Waits until no request is open, at most `seconds`. Returns False if a request is still open then."""
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
