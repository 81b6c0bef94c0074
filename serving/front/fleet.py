"""The workers of a server: which models and versions they serve, and which version is the default."""

from __future__ import annotations

import itertools
import threading
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from serving.application.models import ReceivedRequest, ReplyPart, Versions
from serving.front.sources import CheckpointSource
from serving.server.management import ServedVersion, Worker
from serving.server.model_store import Archive
from zoo.errors import RequestError, UnknownNameError, WorkerLostError


class ModelWorker(Protocol):
    """What answers for one version of a model: one process, or several that share the requests."""

    description: Mapping[str, Any]
    """What was reported of the model when it was first loaded, as `description_of`."""

    @property
    def is_ready(self) -> bool:
        """Whether a process has loaded the model and accepts requests."""
        ...

    def processes(self) -> Sequence[Process]:
        """The processes that exist or are being started again."""
        ...

    def wait_until_loaded(self) -> None:
        """Waits for the first load. Raises: its error; ServerError if it takes too long."""
        ...

    def resize(self, num_processes: int) -> None:
        """Changes the number of processes, at least 1. Raises: RequestError if it cannot be this number."""
        ...

    def replies(self, request: ReceivedRequest) -> AsyncGenerator[ReplyPart]:
        """The parts of the response. Raises: OverloadError if the request is not answered."""
        ...

    def release(self) -> None:
        """Lets processes end: those that do are not replaced any more."""
        ...

    def stop(self) -> None:
        """Ends the processes; open requests are cut off."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A process of a worker. `slot` stays the same when another process takes its place."""

    slot: int
    pid: int
    is_ready: bool


Start = Callable[[CheckpointSource | Path], ModelWorker]
NO_WORKER_RETRY_AFTER = 2


@dataclass(slots=True)
class _Served:
    """A version of a model: an `AnsweringModel`. `worker` is None while the version is scaled to no worker."""

    archive: Archive
    worker_id: str
    worker: ModelWorker | None
    description: Mapping[str, Any]

    @property
    def max_body_bytes(self) -> int:
        return int(self.description["max_body_bytes"])

    @property
    def is_ready(self) -> bool:
        return self.worker is not None and self.worker.is_ready

    def metadata(self) -> Mapping[str, Any]:
        metadata: Mapping[str, Any] = self.description["metadata"]
        return metadata

    def replies(self, request: ReceivedRequest) -> AsyncGenerator[ReplyPart]:
        """The parts of the response. Raises: WorkerLostError if no process is ready, or it ends before its answer."""
        if self.worker is None:
            raise WorkerLostError("this model has no worker: retry later", retry_after=NO_WORKER_RETRY_AFTER)
        return self.worker.replies(request)


class Fleet:
    """The served versions, and their workers. All methods may be called from any thread.

    `models` is the mapping that the application answers from; it changes with the fleet.
    """

    def __init__(self, start: Start) -> None:
        """`start` starts a worker for an archive or a checkpoint."""
        self.models: dict[str, Versions] = {}
        self._start = start
        self._served: dict[tuple[str, str], _Served] = {}
        self._ids = itertools.count(9000)
        self._changing = threading.RLock()

    @property
    def interface(self) -> Mapping[str, Any]:
        """The OpenAPI document of the interface, which every worker reports; empty before the first one has."""
        return next((served.description["interface"] for served in list(self._served.values())), {})

    def load(self, *sources: CheckpointSource | Path) -> list[Archive]:
        """Loads checkpoints or adopted archives at the same time, and serves them; their archives.

        Raises: the error of the first that cannot be loaded, and then none of them is served; RequestError if two have
        the same name and version, or a version is served already.
        """
        workers: list[ModelWorker] = []
        try:
            for source in sources:
                workers.append(self._start(source))
            for worker in workers:
                worker.wait_until_loaded()
            return self._serve(workers)
        except BaseException:
            for worker in workers:
                worker.stop()
            raise

    def versions(self) -> list[ServedVersion]:
        """All versions of every model."""
        return [self._described(key, served) for key, served in list(self._served.items())]

    def switch(self, name: str, version: str) -> None:
        """Makes a version the default. Raises: UnknownNameError."""
        with self._changing:
            self._find(name, version)
            self.models[name] = Versions(version, self.models[name].by_version)

    def scale(self, name: str, version: str, *, num_workers: int) -> None:
        """Ends the workers of a version, or starts them again. Raises: RequestError, UnknownNameError."""
        with self._changing:
            served = self._find(name, version)
            if num_workers == 0:
                worker, served.worker = served.worker, None
                if worker is not None:
                    worker.stop()
                return
            if served.worker is None:
                served.worker = self._start(served.archive.path)
            served.worker.resize(num_workers)

    def unload(self, name: str, version: str) -> None:
        """Ends a version's worker and cuts off its open requests. Raises: RequestError, UnknownNameError."""
        with self._changing:
            served = self._find(name, version)
            rest = {other: model for other, model in self.models[name].by_version.items() if other != version}
            if rest and self.models[name].default == version:
                raise RequestError(f"{name} {version} is the default version: make another version the default first")
            if rest:
                self.models[name] = Versions(self.models[name].default, rest)
            else:
                del self.models[name]
            del self._served[name, version]
        if served.worker is not None:
            served.worker.stop()

    def release(self) -> None:
        """Lets workers end: those that do are not replaced any more."""
        for served in list(self._served.values()):
            if served.worker is not None:
                served.worker.release()

    def stop(self) -> None:
        """Ends all workers."""
        with self._changing:
            workers = [served.worker for served in self._served.values() if served.worker is not None]
        for worker in workers:
            worker.stop()

    def _serve(self, workers: list[ModelWorker]) -> list[Archive]:
        archives = []
        with self._changing:
            for worker in workers:
                description = worker.description
                archive = Archive(Path(description["archive"]), description["name"], description["version"])
                archives.append(archive)
            keys = [(archive.name, archive.version) for archive in archives]
            for key in keys:
                if key in self._served or keys.count(key) > 1:
                    raise RequestError(f"two models have the same name and version ({key[0]} {key[1]})")
            for archive, worker in zip(archives, workers, strict=True):
                served = _Served(archive, str(next(self._ids)), worker, worker.description)
                self._served[archive.name, archive.version] = served
                others = self.models.get(archive.name)
                by_version = {**({} if others is None else others.by_version), archive.version: served}
                self.models[archive.name] = Versions(archive.version if others is None else others.default, by_version)
        return archives

    def _find(self, name: str, version: str) -> _Served:
        if (name, version) not in self._served:
            raise UnknownNameError(
                "version", f"{name} {version}", [f"{name} {version}" for name, version in self._served]
            )
        return self._served[name, version]

    def _described(self, key: tuple[str, str], served: _Served) -> ServedVersion:
        workers: tuple[Worker, ...] = ()
        if served.worker is not None:
            workers = tuple(
                Worker(id=f"{served.worker_id}.{process.slot}", pid=process.pid, is_ready=process.is_ready)
                for process in served.worker.processes()
            )
        name, version = key
        return ServedVersion(
            name=name,
            version=version,
            archive=served.archive.path.name,
            is_default=name in self.models and self.models[name].default == version,
            num_workers=len(workers),
            num_ready=sum(worker.is_ready for worker in workers),
            num_waiting=0,
            workers=workers,
        )
