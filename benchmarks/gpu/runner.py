"""Runs sections in a separate process: a section that fails, crashes or hangs does not affect the others."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from benchmarks.gpu.report import Report
from benchmarks.gpu.settings import Settings
from benchmarks.gpu.table import Section
from benchmarks.gpu.worker import work

SECONDS_TO_START = 60.0
SECONDS_TO_END = 10.0
PATIENCE = 3.0
"""A section that takes longer than this factor times the table's seconds counts as hanging."""

Tell = Callable[[dict[str, Any]], None]


def run_sections(sections: Sequence[Section], settings: Settings, report: Report) -> None:
    """Runs the sections in order and writes the report after each."""
    with Supervisor(settings) as supervisor:
        for section in sections:
            reason = reason_to_skip(section, settings)
            if reason is not None:
                report.record(section, {"status": "skipped", "skipped": {"": reason}})
                continue
            started = time.monotonic()

            def tell(outcome: dict[str, Any], section: Section = section, started: float = started) -> None:
                report.record(section, {**outcome, "seconds": round(time.monotonic() - started, 1)})

            tell({"status": "running"})
            tell(supervisor.run(section, tell))


def reason_to_skip(section: Section, settings: Settings) -> str | None:
    """The reason not to start a section, which is a missing GPU or too little time; None to start it.

    The table's seconds are estimates for the intended GPU. A tiny run needs a fraction of them, so its sections start
    as long as any time is left.
    """
    if section.needs_cuda and not settings.is_cuda:
        return "it needs a GPU"
    left = settings.seconds_left
    if left > (0 if settings.is_tiny else section.seconds):
        return None
    return f"it needs some {section.seconds:.0f} s, and {max(0.0, left):.0f} s were left"


class Supervisor:
    """Manages the worker: starts it when needed, ends it when it hangs, replaces it when it has ended."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._context = multiprocessing.get_context("spawn")  # a forked process cannot use CUDA
        self._process: Any = None
        self._connection: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._end(waits=kind is None)

    def run(self, section: Section, tell: Tell) -> dict[str, Any]:
        """Runs a section and returns its outcome; `tell` receives each intermediate outcome."""
        if self._process is None or not self._process.is_alive():
            self._end(waits=False)
            self._start()
        last: dict[str, Any] = {}
        limit = SECONDS_TO_START + PATIENCE * section.seconds
        deadline = time.monotonic() + limit
        try:
            self._connection.send(section)
            while self._connection.poll(max(0.0, deadline - time.monotonic())):
                is_last, last = self._connection.recv()
                if is_last:
                    return last
                tell({**last, "status": "running"})
            why = f"it was ended after {limit:.0f} s"
        except (EOFError, OSError):
            self._process.join(SECONDS_TO_END)
            why = f"its process ended by itself: {_ending(self._process.exitcode)}"
        self._end(waits=False)
        return {**last, "status": "failed", "failures": {**last.get("failures", {}), "": why}}

    def _start(self) -> None:
        self._connection, theirs = self._context.Pipe()
        self._process = self._context.Process(target=work, args=(theirs, self._settings))
        self._process.start()
        theirs.close()

    def _end(self, *, waits: bool) -> None:
        """Ends the worker and all its child processes; if `waits`, first waits for the worker to end by itself."""
        if self._process is None:
            return
        self._connection.close()
        if waits:
            self._process.join(SECONDS_TO_END)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()
        self._process.join()
        self._process = None


def _ending(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        return signal.Signals(-exit_code).name
    return f"exit code {exit_code}"
