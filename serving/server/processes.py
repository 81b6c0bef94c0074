"""The process group of a server, and its termination without leftover processes."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress

import psutil

from serving.server.signals import ignoring_signals

STOP_SECONDS = 15.0
POLL_SECONDS = 0.1


class ProcessGroup:
    """TorchServe's launcher, the JVM that it starts, and the JVM's workers."""

    def __init__(self, launcher: subprocess.Popen[bytes]) -> None:
        """`launcher` must lead its own process group."""
        self.launcher = launcher

    def living(self) -> list[psutil.Process]:
        """The running members, without zombies."""
        members = []
        for process in psutil.process_iter():
            try:
                if os.getpgid(process.pid) == self.launcher.pid and process.status() != psutil.STATUS_ZOMBIE:
                    members.append(process)
            except (ProcessLookupError, psutil.NoSuchProcess):
                continue
        return members

    def has_ended(self) -> bool:
        """Whether the launcher, which waits for the JVM, has ended."""
        return self.launcher.poll() is not None

    def end(self) -> None:
        """Terminates all members in order, then kills the rest after a timeout. Termination signals are ignored."""
        with ignoring_signals():
            self._terminate()
            if self.living():
                os.killpg(self.launcher.pid, signal.SIGKILL)
            self.launcher.wait()

    def _terminate(self) -> None:
        """Terminates the JVM, which ends its workers; the launcher waits for the JVM and then ends. Has a timeout.

        The launcher itself is terminated only if it has not started a JVM yet, because it must reap the JVM.
        """
        terminated: set[int] = set()
        deadline = time.monotonic() + STOP_SECONDS
        while not self.has_ended() or self.living():
            if time.monotonic() > deadline:
                return
            for process in _roots(self.living(), launcher=self.launcher.pid):
                if process.pid not in terminated:
                    terminated.add(process.pid)
                    with suppress(psutil.NoSuchProcess):
                        process.terminate()
            time.sleep(POLL_SECONDS)


def _roots(processes: Sequence[psutil.Process], *, launcher: int) -> list[psutil.Process]:
    """The processes whose parent is the launcher or outside the group; the launcher if it is alone."""
    others = {process.pid for process in processes if process.pid != launcher}
    roots = [process for process in processes if process.pid in others and _parent(process) not in others]
    return roots or list(processes)


def _parent(process: psutil.Process) -> int | None:
    with suppress(psutil.NoSuchProcess):
        return process.ppid()
    return None
