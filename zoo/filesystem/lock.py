"""A lock between processes, and between the threads of one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout


@contextmanager
def exclusive_lock(path: Path, *, otherwise: Exception, wait: float = 0.0) -> Iterator[None]:
    """Inside, nobody else is inside a block with the same lock file.

    `path` is the lock file, and its folder is made. The operating system releases the lock of a process that ends,
    however it ends. The file is removed after the block; one that a killed process left holds nobody up. `wait` is how
    long to wait for another holder, in seconds.
    Raises: `otherwise` if somebody else holds the lock for longer than that; OSError if the file cannot be made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=wait, poll_interval=0.02)
    except Timeout:
        raise otherwise from None
    try:
        yield
    finally:
        # Removed while it is held. Whoever opened it before finds that it has no name any more, and opens a new one.
        with suppress(OSError):
            path.unlink(missing_ok=True)
        lock.release()
