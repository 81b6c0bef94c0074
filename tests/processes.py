"""`zoo` commands in processes of their own that start with torch and the commands' modules already imported.

These imports take ten seconds of processor time. Python's fork server makes them once and forks itself for each
command. A command runs through the console script's entry point, as in `zoo_command`, and is a process like any other:
it can be killed, limited, and given an environment. tests/test_installation.py starts the real programs.
"""

import multiprocessing
import os
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection

from zoo.cli.app import main

FORKING = multiprocessing.get_context("forkserver")
FORKING.set_forkserver_preload(
    [
        *("training.commands.train", "training.commands.certify", "serving.commands.serve"),
        *("training.trainer", "zoo.cards", "zoo.loading.backend"),  # which the commands import as they run
        *("torch._dynamo", "torchvision.models", "torchvision.transforms.v2"),  # which training imports
    ]
)


class Output(threading.Thread):
    """What a process and its children write to a stream, read as it comes."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._reader, self.writer = FORKING.Pipe(duplex=False)
        self._data = b""

    def run(self) -> None:
        self.writer.close()  # the process has its own
        while data := os.read(self._reader.fileno(), 2**16):
            self._data += data

    @property
    def so_far(self) -> str:
        return self._data.decode()

    def whole(self, timeout: float = 60) -> str:
        """All of it, once every process that could write more has ended."""
        self.join(timeout)
        assert not self.is_alive(), f"some process still has the stream, which so far says {self.so_far}"
        return self.so_far


class ZooProcess:
    """A running `zoo WORDS...`; `before` is called in the process first."""

    def __init__(
        self,
        words: Sequence[object],
        *,
        before: Callable[[], None] | None = None,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        self.stdout, self.stderr = Output(), Output()
        streams = (self.stdout.writer, self.stderr.writer)
        arguments = ([str(word) for word in words], *streams, before, dict(environment))
        self._process = FORKING.Process(target=_run, args=arguments)
        self._process.start()
        self.stdout.start()
        self.stderr.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def poll(self) -> int | None:
        """The exit code, which after a signal is its number, negative; None while the process runs."""
        return self._process.exitcode

    def wait(self, timeout: float = 240) -> int:
        """The exit code when the process has ended, as `poll` gives it."""
        self._process.join(timeout)
        code = self.poll()
        assert code is not None, f"it still runs after {timeout} s: {self.stderr.so_far}"
        return code

    def first_line(self) -> str:
        """The first line of stdout, as soon as it has come; what there is of it if the process ends before."""
        while "\n" not in self.stdout.so_far and self.poll() is None:
            time.sleep(0.05)
        return self.stdout.so_far.partition("\n")[0]

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)


def start_ranks(num_ranks: int, words: Sequence[object]) -> list[ZooProcess]:
    """Starts `zoo WORDS...` on several ranks, with the variables by which torchrun tells them of each other."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(num_ranks)}
    return [
        ZooProcess(words, environment={**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)})
        for rank in range(num_ranks)
    ]


def run_ranks(num_ranks: int, words: Sequence[object]) -> str:
    """What `zoo WORDS...` on several ranks, which must succeed, prints to stdout."""
    ranks = start_ranks(num_ranks, words)
    assert [rank.wait() for rank in ranks] == [0] * num_ranks, "".join(rank.stderr.so_far for rank in ranks)
    return "".join(rank.stdout.whole() for rank in ranks)


def _run(
    words: list[str],
    stdout: Connection,
    stderr: Connection,
    before: Callable[[], None] | None,
    environment: dict[str, str],
) -> None:
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = None  # TMPDIR is read again
    for stream, connection in ((sys.stdout, stdout), (sys.stderr, stderr)):
        os.dup2(connection.fileno(), stream.fileno())
        connection.close()
    sys.argv = ["zoo", *words]
    if before is not None:
        before()
    main()
