"""Supervision of a running server: reports dead workers, and never leaves a server without workers running."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from serving.server.health import Health, health_of
from serving.server.management import ServedVersion
from serving.server.worker_watch import WorkerDeath, WorkerWatch
from zoo.errors import ZooError

LOOK_SECONDS = 1.0
# The management answers late on a busy machine, which is no reason to end the server.
UNANSWERED_SECONDS = 30.0
# A worker that died is back after the time of a start, unless every new one dies as well.
MIN_RECOVERY_SECONDS = 60.0
RECOVERY_STARTS = 2.0


class WorkerManager(Protocol):
    """Describes the workers of a server, and starts them."""

    def versions(self) -> Sequence[ServedVersion]: ...

    def scale(self, name: str, version: str, *, num_workers: int) -> None: ...


class Supervisor:
    """Follows the workers by the management API, in a separate thread between `start` and `stop`."""

    def __init__(
        self,
        management: Callable[[], AbstractContextManager[WorkerManager]],
        *,
        logger: logging.Logger,
        is_closing: Callable[[], bool],
    ) -> None:
        """`management` opens a connection; `is_closing` says whether the server is being stopped on purpose."""
        self.watch = WorkerWatch()
        self.failure: str | None = None
        """Why the server cannot answer any more; None while it can."""
        self._open_management = management
        self._logger = logger
        self._is_closing = is_closing
        self._created_at = time.monotonic()
        self._recovery_seconds = MIN_RECOVERY_SECONDS
        self._problem = "the server has not described its workers yet"
        self._has_started = False
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)

    def start(self) -> None:
        """Starts the thread; the server is ready for the first time."""
        self._recovery_seconds += RECOVERY_STARTS * (time.monotonic() - self._created_at)
        self._has_started = True
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread; it does not wait for an answer that the server owes."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(timeout=LOOK_SECONDS)

    def look(self) -> list[WorkerDeath]:
        """Asks the server for its workers once; returns the deaths since the last look."""
        try:
            with self._open_management() as management:
                versions = management.versions()
        except ZooError as error:
            self._problem = str(error)
            return []
        self._problem = "the server's management has not been asked"
        return self.watch.observe(versions, now=time.monotonic())

    def health(self) -> Health:
        """The health according to the last look."""
        if self.failure is not None:
            return Health.dead(self.failure)
        observed_at = self.watch.observed_at
        if observed_at is None:
            return Health.dead(self._problem)
        if time.monotonic() - observed_at > UNANSWERED_SECONDS:
            return Health.dead(f"{self._problem} (for more than {UNANSWERED_SECONDS:.0f} s)")
        is_loading = self.watch.is_loading if self._has_started else _counts_at_once
        return health_of(self.watch.versions, is_loading=is_loading)

    def supervise(self) -> None:
        """Looks once, reports dead workers, and starts missing ones; sets `failure` if they do not come back."""
        deaths = self.look()
        if self._is_closing():
            return
        for death in deaths:
            self._report(death)
        self._scale_back()
        self._require_recovery()

    def _run(self) -> None:
        while not self._stopped.wait(LOOK_SECONDS):
            self.supervise()

    def _report(self, death: WorkerDeath) -> None:
        state = "that answered requests" if death.was_loaded else "that was loading the model"
        self._logger.error(
            "process %d of %s %s, a worker %s, has ended or was killed; another one is started. If there is no "
            "reason above, something else killed it, such as the kernel when the memory was full",
            *(death.pid, death.name, death.version, state),
        )

    def _scale_back(self) -> None:
        for served, num_workers in self.watch.workerless():
            self._logger.error("%s %s has no workers; starting %d", served.name, served.version, num_workers)
            try:
                with self._open_management() as management:
                    management.scale(served.name, served.version, num_workers=num_workers)
            except ZooError as error:
                self._logger.warning("the workers cannot be started yet: %s", error)

    def _require_recovery(self) -> None:
        overdue = self.watch.overdue(seconds=self._recovery_seconds)
        if overdue and self.failure is None:
            names = ", ".join(f"{served.name} {served.version}" for served in overdue)
            self.failure = (
                f"no worker of {names} has been ready for {self._recovery_seconds:.0f} s, so the server cannot answer"
            )
            self._logger.error(self.failure)


def _counts_at_once(_: ServedVersion) -> bool:
    """What `is_loading` is during the start: all models of the command line must be ready."""
    return False
