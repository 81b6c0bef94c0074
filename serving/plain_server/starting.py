"""Starts worker processes, which import PyTorch until their settings arrive over the connection.

This module imports little, because `zoo serve` starts its workers before it imports the libraries of the front process.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from zoo.host.cores import num_cores

COMMAND = ("-P", "-m", "serving.plain_server.worker")  # -P: the working directory must not hide a package
STOP_SECONDS = 10.0
OUR_PACKAGES = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class StartedProcess:
    """A worker process, and the front process's end of the connection to it."""

    process: subprocess.Popen[bytes]
    connection: socket.socket

    @classmethod
    def start(cls, environment: Mapping[str, str]) -> StartedProcess:
        """A new process, which ends when the connection is closed."""
        ours, theirs = socket.socketpair()
        with theirs:
            process = subprocess.Popen(
                [sys.executable, *COMMAND, str(theirs.fileno())],
                env=environment,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches only the front process, which stops the workers in order
            )
        return cls(process, ours)

    def end(self) -> None:
        """Ends the process and closes the connection."""
        self.connection.close()
        end_process(self.process)


def end_process(process: subprocess.Popen[bytes]) -> None:
    """Terminates the process, if it runs, and kills what is left of its group after ten seconds."""
    if process.poll() is None:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
        if process.poll() is None:
            process.kill()
    process.wait()
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)  # its processes that decode images


def environment_of_workers(*, threads: int | None, num_workers: int) -> dict[str, str]:
    """The environment of each of the workers. `threads` is the number per worker; None shares the cores among them."""
    own = {"PYTHONUNBUFFERED": "1", "PYTHONWARNINGS": "ignore"}  # a library's warning may quote a client's data
    # Our packages come first, so that the worker imports them. An empty entry would mean the working directory.
    own |= {"PYTHONPATH": os.pathsep.join(filter(None, [str(OUR_PACKAGES), os.environ.get("PYTHONPATH")]))}
    if threads is not None or "OMP_NUM_THREADS" not in os.environ:
        own["OMP_NUM_THREADS"] = str(threads or max(1, num_cores() // max(1, num_workers)))
    return {**os.environ, **own}
