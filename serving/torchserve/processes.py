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
JAVA_HANDLED = 128  # Java ends with this plus the number of a signal that it handles, such as SIGTERM


class ProcessGroup:
    """TorchServe's Java process and the workers that it starts."""

    def __init__(self, java: subprocess.Popen[bytes]) -> None:
        """`java` must lead its own process group."""
        self.java = java

    def living(self) -> list[psutil.Process]:
        """The running members, without zombies."""
        members = []
        for process in psutil.process_iter():
            try:
                if os.getpgid(process.pid) == self.java.pid and process.status() != psutil.STATUS_ZOMBIE:
                    members.append(process)
            except (ProcessLookupError, psutil.NoSuchProcess):
                continue
        return members

    def has_ended(self) -> bool:
        """Whether the Java process has ended."""
        return self.java.poll() is not None

    def wait(self, seconds: float) -> bool:
        """Waits until the Java process has ended, at most `seconds`. Returns False if it still runs then."""
        with suppress(subprocess.TimeoutExpired):
            self.java.wait(timeout=seconds)
        return self.has_ended()

    def how_it_ended(self) -> str:
        """How the Java process ended, as a sentence without a full stop; it must have ended."""
        name, code = f"TorchServe's Java process ({self.java.pid})", self.java.returncode
        number = -code if code < 0 else code - JAVA_HANDLED
        if number not in set(signal.Signals):
            return f"{name} ended by itself with exit code {code}"
        cause = ", for example by the kernel when the memory was full" if number == signal.SIGKILL else ""
        return f"{name} was killed by {signal.Signals(number).name}{cause}"

    def end(self) -> None:
        """Terminates all members in order, then kills the rest after a timeout. Termination signals are ignored."""
        with ignoring_signals():
            self._terminate()
            if self.living():
                os.killpg(self.java.pid, signal.SIGKILL)
            self.java.wait()

    def _terminate(self) -> None:
        """Terminates the Java process, which ends its workers, or the workers that have lost it. Has a timeout."""
        terminated: set[int] = set()
        deadline = time.monotonic() + STOP_SECONDS
        while not self.has_ended() or self.living():
            if time.monotonic() > deadline:
                return
            for process in _roots(self.living()):
                if process.pid not in terminated:
                    terminated.add(process.pid)
                    with suppress(psutil.NoSuchProcess):
                        process.terminate()
            time.sleep(POLL_SECONDS)


def _roots(processes: Sequence[psutil.Process]) -> list[psutil.Process]:
    """The processes whose parent is not among them."""
    pids = {process.pid for process in processes}
    return [process for process in processes if _parent(process) not in pids]


def _parent(process: psutil.Process) -> int | None:
    with suppress(psutil.NoSuchProcess):
        return process.ppid()
    return None
