"""What happens to a server's workers, from one description of the server to the next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from serving.server.management import ServedVersion, Worker

VersionKey = tuple[str, str]  # a model's name and version


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerDeath:
    """A process that ended although its worker still exists, so the server did not end it."""

    name: str
    version: str
    pid: int
    was_loaded: bool


@dataclass(slots=True)
class _Process:
    """A worker's process, as far as it is known."""

    pid: int
    was_loaded: bool
    has_died: bool = False


class WorkerWatch:
    """Compares descriptions of a server. Times are in seconds, on any clock.

    A worker that the server ends on purpose leaves the description. One whose process dies stays in it, and gets a new
    process.
    """

    def __init__(self) -> None:
        self.versions: tuple[ServedVersion, ...] = ()
        self.observed_at: float | None = None
        self.num_deaths: dict[VersionKey, int] = {}
        """The loaded workers of each version that died."""
        self._processes: dict[tuple[str, str, str], _Process] = {}
        self._ready_at: dict[VersionKey, float] = {}
        self._num_workers: dict[VersionKey, int] = {}

    def observe(self, versions: Sequence[ServedVersion], *, now: float) -> list[WorkerDeath]:
        """Takes the next description, and returns the deaths since the last one."""
        deaths, processes = [], {}
        for served in versions:
            key = (served.name, served.version)
            self.num_deaths.setdefault(key, 0)
            if served.is_ready:
                self._ready_at[key] = now
            if served.workers:
                self._num_workers[key] = len(served.workers)
            for worker in served.workers:
                process, dead = _follow(self._processes.get((*key, worker.id)), worker)
                processes[(*key, worker.id)] = process
                if dead is not None:
                    self.num_deaths[key] += dead.was_loaded
                    deaths.append(WorkerDeath(name=key[0], version=key[1], pid=dead.pid, was_loaded=dead.was_loaded))
        listed = {(served.name, served.version) for served in versions}
        self._ready_at = {key: time for key, time in self._ready_at.items() if key in listed}
        self._num_workers = {key: num for key, num in self._num_workers.items() if key in listed}
        self._processes, self.versions, self.observed_at = processes, tuple(versions), now
        return deaths

    def is_loading(self, served: ServedVersion) -> bool:
        """Whether no version of the model has been ready yet."""
        return all(name != served.name for name, _ in self._ready_at)

    def workerless(self) -> list[tuple[ServedVersion, int]]:
        """The versions whose workers were all removed, each with the number of workers that it had."""
        return [
            (served, self._num_workers[served.name, served.version])
            for served in self.versions
            if not served.workers and (served.name, served.version) in self._num_workers
        ]

    def overdue(self, *, seconds: float) -> list[ServedVersion]:
        """The default versions that have been ready, but not during the `seconds` before the last description."""
        now = self.observed_at or 0.0
        return [
            served
            for served in self.versions
            if served.is_default and now - self._ready_at.get((served.name, served.version), now) > seconds
        ]


def _follow(before: _Process | None, worker: Worker) -> tuple[_Process, _Process | None]:
    """The worker's process now, and the process that has died since the last description, if one has."""
    if before is None or before.pid != worker.pid:
        has_died = before is not None and before.pid > 0 and not before.has_died
        return _Process(worker.pid, worker.is_ready), before if has_died else None
    has_died = before.was_loaded and not worker.is_ready
    process = _Process(worker.pid, before.was_loaded or worker.is_ready, has_died)
    return process, before if has_died and not before.has_died else None
