"""A lock between processes, and between the threads of a process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout


@contextmanager
def exclusive_lock(path: Path, *, otherwise: Exception, wait: float = 0.0) -> Iterator[None]:
    """Holds the lock during the block: no other thread or process is then in a block with the same lock file.

    The operating system releases the lock when its process ends, also if the process is killed. The lock file is
    removed after the block. A file that a killed process left does not block other processes.

    Args:
        path: The lock file; its folder is created.
        otherwise: The exception to raise if the lock is not available.
        wait: Seconds to wait for another holder.

    Raises: `otherwise` if another holder keeps the lock for longer than `wait`; OSError if the file cannot be created.
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
        # The file is removed while it is locked. A process that opened it before sees that the file has no name any
        # more, and opens a new one.
        with suppress(OSError):
            path.unlink(missing_ok=True)
        lock.release()
