"""The process of one worker: started, connected to, started again when it dies, and ended, in a thread of its own."""

from __future__ import annotations

import asyncio
import math
import signal
import socket
import subprocess
import threading
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import zoo.errors
from serving.application.models import Part, ReceivedRequest
from serving.front.fleet import Process
from serving.front.logs import ServerLogs
from serving.plain_server.frames import Frames
from serving.plain_server.link import WorkerLink
from serving.plain_server.settings import WorkerSettings
from serving.plain_server.starting import STOP_SECONDS, StartedProcess, end_process
from zoo.errors import RequestError, ServerError, WorkerLostError, ZooError

STARTUP_SECONDS = 300.0
LONGEST_PAUSE = 30.0
LONGEST_RETRY_AFTER = 60


class WorkerProcess:
    """One worker, whose process is replaced when it dies, until `stop`.

    The first load may fail; `wait_until_loaded` then raises, and no process is left. Later loads are tried again, after
    pauses that double up to 30 s.
    """

    def __init__(
        self,
        settings: WorkerSettings,
        *,
        environment: Mapping[str, str],
        logs: ServerLogs,
        loop: asyncio.AbstractEventLoop,
        started: StartedProcess | None = None,
    ) -> None:
        """Starts the first process, or uses one that is `started`. `loop` is the event loop of the application."""
        self.pid = 0
        self.description: Mapping[str, Any] = {}
        """What the worker reported of its model when it was first loaded."""
        self._settings, self._environment, self._logs, self._loop = settings, dict(environment), logs, loop
        self._link: WorkerLink | None = None
        self._failure: Exception | None = None
        self._start_seconds = 1.0
        self._starting = threading.Lock()
        self._started = started
        self._process = None if started is None else started.process
        self._loaded, self._stopped = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="worker", daemon=True)
        self._thread.start()

    @property
    def is_ready(self) -> bool:
        """Whether the process has loaded the model and runs."""
        return self._link is not None

    def processes(self) -> Sequence[Process]:
        """The process, or the one that was there last."""
        return (Process(slot=0, pid=self.pid, is_ready=self.is_ready),)

    def resize(self, num_processes: int) -> None:
        """Raises: RequestError if it is not 1."""
        if num_processes != 1:
            raise RequestError(f"a version has one worker on this server, got {num_processes}")

    def wait_until_loaded(self) -> None:
        """Waits for the first load. Raises: its error; ServerError if it takes more than five minutes."""
        if not self._loaded.wait(STARTUP_SECONDS):
            self.stop()
            raise ServerError(f"the model was not loaded within {STARTUP_SECONDS:.0f} s")
        if self._failure is not None:
            raise self._failure

    async def replies(self, request: ReceivedRequest) -> AsyncGenerator[Part]:
        """The parts of the response. Raises: WorkerLostError if no process is ready, or it ends before its answer."""
        link = self._link
        if link is None:
            raise self._lost()
        parts = link.replies(request)
        del request
        try:
            async for part in parts:
                yield part
        finally:
            await parts.aclose()

    def release(self) -> None:
        """Lets the process end: it is not replaced any more."""
        self._stopped.set()

    def stop(self) -> None:
        """Ends the process and the thread; open requests are cut off."""
        self._stopped.set()
        with self._starting:
            process = self._process
        if process is not None:
            end_process(process)
        self._thread.join()

    def _lost(self) -> WorkerLostError:
        seconds = min(LONGEST_RETRY_AFTER, max(1, math.ceil(self._start_seconds)))
        return WorkerLostError(
            f"the worker of this model has ended and is being started again: retry in {seconds} s", retry_after=seconds
        )

    def _run(self) -> None:
        num_failures = 0
        while not self._stopped.is_set():
            try:
                self._serve_once()
                num_failures = 0
            except Exception as error:
                if not self._loaded.is_set():
                    self._failure = error
                    self._loaded.set()
                    return
                if not self._stopped.is_set():
                    self._logs.events.error("a worker cannot be started again: %s", error)
                num_failures += 1
            finally:
                self._link = None
            self._stopped.wait(min(LONGEST_PAUSE, 2.0**num_failures - 1))

    def _serve_once(self) -> None:
        """Runs one process to its end. Raises: the error of loading the model."""
        started = time.monotonic()
        with self._starting:
            if self._stopped.is_set():
                return
            running, self._started = self._started or StartedProcess.start(self._environment), None
            process = self._process = running.process
            self.pid = process.pid
        assert process.stdout is not None
        copying = (process.stdout, process.pid)
        threading.Thread(target=self._logs.copy_output, args=copying, name="worker-output", daemon=True).start()
        with running.connection as ours:
            try:
                description = self._load(ours, process)
                self._start_seconds = time.monotonic() - started
                self.description = self.description or description
                self._settings = replace(self._settings, source=Path(description["archive"]))
                duplicate = ours.dup()  # the link closes its own
                self._link = asyncio.run_coroutine_threadsafe(
                    WorkerLink.open(duplicate, self._lost), self._loop
                ).result(STOP_SECONDS)
                ours.close()
                self._loaded.set()
                process.wait()
            finally:
                end_process(process)
                self._close_link()
        if not self._stopped.is_set():
            self._logs.events.error("process %d, a worker, %s", process.pid, how_it_ended(process.returncode))

    def _load(self, connection: socket.socket, process: subprocess.Popen[bytes]) -> dict[str, Any]:
        """The description of the loaded model. Raises: the worker's error; ServerError if the process ends."""
        connection.settimeout(STARTUP_SECONDS)
        frames = Frames(connection)
        try:
            frames.write({"load": self._settings.to_json()})
            head, _ = frames.read()
        except TimeoutError as error:
            raise ServerError(f"the model was not loaded within {STARTUP_SECONDS:.0f} s") from error
        except (OSError, EOFError) as error:
            ended = how_it_ended(process.wait())
            raise ServerError(f"a worker (process {process.pid}) {ended} while it was loading the model") from error
        if "failed" in head:
            raise error_of(head["failed"])
        description: dict[str, Any] = head["ready"]
        return description

    def _close_link(self) -> None:
        link = self._link
        if link is not None:
            with suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(link.close)


def error_of(failure: Mapping[str, str]) -> Exception:
    """The error that a worker reported, as this project's error of the same name if a message is enough to make it."""
    kind = getattr(zoo.errors, failure["type"], None)
    if isinstance(kind, type) and issubclass(kind, ZooError):
        with suppress(TypeError):  # an error with further arguments
            return kind(failure["message"])
        if issubclass(kind, RequestError):
            return RequestError(failure["message"])
    return ServerError(failure["message"])


def how_it_ended(code: int) -> str:
    """How a process with this return code ended, as the end of a sentence."""
    if code >= 0:
        return f"ended with exit code {code}"
    cause = ", for example by the kernel when the memory was full" if -code == signal.SIGKILL else ""
    return f"was killed by {signal.Signals(-code).name}{cause}"
