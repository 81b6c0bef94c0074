"""The replicas of one version of a model: starts and replaces them, and passes each request to one of them."""

from __future__ import annotations

import asyncio
import itertools
import math
import threading
import time
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager, suppress
from pathlib import Path
from typing import Any

import ray

from serving.application.models import Part, ReceivedRequest
from serving.front.fleet import Process
from serving.front.logs import ServerLogs
from serving.front.sources import CheckpointSource
from serving.ray_server.handle import ReplicaHandle
from serving.ray_server.launch import Launch, error_of
from serving.ray_server.metrics import ReplicaMetrics
from serving.ray_server.scaling import Bounds, Scaling
from serving.server.draining import DrainSign
from serving.server.model_store import Archive
from zoo.errors import ClosingError, OverloadError, ServerError, WorkerLostError, ZooError

LOOK_SECONDS = 0.5
STARTUP_SECONDS = 300.0
CLOSE_SECONDS = 2.0
LONGEST_PAUSE = 30.0
LONGEST_RETRY_AFTER = 60
RETRY_AFTER_CLOSING = 5
MOST_TRIES = 3  # a request that ends the process of every replica must not end all of them
PLACE_SECONDS = 120.0
PLACE_LOOK_SECONDS = 0.1
FULL = 429


class ReplicaPool:
    """The replicas of one version of a model: a `ModelWorker`.

    A request whose replica dies goes to another one, unless a part of its answer has been sent. The other replica draws
    the same noise if the answer is repeatable, so that this is not a second chance for a certificate.
    """

    def __init__(
        self,
        source: CheckpointSource | Path,
        *,
        launch: Launch,
        counts: Any,
        bounds: Bounds,
        signs: Path,
        metrics: ReplicaMetrics,
        logs: ServerLogs,
    ) -> None:
        """Starts to load the model in `bounds.least` replicas.

        Args:
            source: the checkpoint or the adopted archive.
            launch: starts the replicas.
            counts: the actor of `Counts`.
            bounds: the least and the largest number of replicas.
            signs: the folder of the signs of draining.
            metrics: keeps the metrics of the replicas.
            logs: the logs of the server.
        """
        self.description: Mapping[str, Any] = {}
        self._source, self._launch, self._counts, self._signs = source, launch, counts, signs
        self._metrics, self._logs, self._scaling = metrics, logs, Scaling(bounds)
        self._archive: Archive
        self._content: Any = None
        self._sign = DrainSign(())
        self._replicas: list[ReplicaHandle] = []
        self._early: list[Any] = []  # started before there is an archive to load
        self._slots = itertools.count()
        self._vacant: list[int] = []  # slots of replicas that have died
        self._num_open = 0
        self._num_failures = 0
        self._start_after = 0.0
        self._failure: ZooError | None = None
        self._loaded, self._released, self._stopped = threading.Event(), threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="replicas", daemon=True)
        self._thread.start()

    @property
    def is_ready(self) -> bool:
        """Whether a replica has loaded the model and accepts requests."""
        return any(replica.is_ready for replica in self._replicas)

    def processes(self) -> Sequence[Process]:
        """The processes of the replicas, each on the replica's machine."""
        vacant = [Process(slot=slot, pid=0, is_ready=False) for slot in list(self._vacant)]
        return vacant + [
            Process(slot=replica.slot, pid=replica.pid, is_ready=replica.is_ready)
            for replica in list(self._replicas)
            if not replica.is_leaving
        ]

    def wait_until_loaded(self) -> None:
        """Waits for the first load of all replicas. Raises: its error; ServerError if it takes five minutes."""
        if not self._loaded.wait(STARTUP_SECONDS):
            self.stop()
            raise ServerError(
                f"not all replicas were ready in {STARTUP_SECONDS:.0f} s: each takes {self._launch.num_cpus:g} CPUs "
                f"and {self._launch.num_gpus:g} GPUs; ray status shows what is free"
            )
        if self._failure is not None:
            raise self._failure

    def resize(self, num_processes: int) -> None:
        """Changes the least number of replicas, and the largest if it is smaller."""
        self._scaling.bounds = Bounds(num_processes, max(num_processes, self._scaling.bounds.most))

    async def replies(self, request: ReceivedRequest) -> AsyncGenerator[Part]:
        """The parts of the response.

        Raises: OverloadError if all replicas are full; ClosingError; WorkerLostError if no replica is ready, three
        replicas have ended with the request, or one after it had sent a part.
        """
        with self._counted():
            self._require_open()
            started = time.monotonic()
            num_tries, is_answered = 0, False
            while not is_answered:
                replica = await self._place(is_new=num_tries == 0, started=started)
                try:
                    async with aclosing(replica.replies(request)) as parts:
                        async for part in parts:
                            if part.status == FULL and num_tries and time.monotonic() - started < PLACE_SECONDS:
                                await asyncio.sleep(PLACE_LOOK_SECONDS)  # the request had a place before
                                break
                            is_answered = True
                            yield part
                except WorkerLostError:
                    num_tries += 1
                    if is_answered or num_tries == MOST_TRIES:
                        raise

    def release(self) -> None:
        """Lets replicas end: those that do are not replaced any more."""
        self._released.set()

    def stop(self) -> None:
        """Ends the replicas; open requests are cut off."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()
        replicas, self._replicas = self._replicas, []
        with suppress(Exception):  # Ray raises several kinds when the cluster has gone
            if replicas:
                ray.wait([replica.close() for replica in replicas], num_returns=len(replicas), timeout=CLOSE_SECONDS)
        for replica in replicas:
            replica.kill()
        for actor in self._early:
            with suppress(Exception):
                ray.kill(actor)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        """Counts a request that is open in the block, and a refusal that leaves it."""
        name, version = self.description["name"], self.description["version"]
        self._num_open += 1
        self._metrics.set_open(name, version, self._num_open)
        try:
            yield
        except OverloadError as error:
            self._metrics.count_refusal(name, version, error=type(error).__name__, status=error.http_status)
            raise
        finally:
            self._num_open -= 1
            self._metrics.set_open(name, version, self._num_open)

    def _require_open(self) -> None:
        if self._sign.is_up():
            raise ClosingError(
                f"this server is stopping {self.description['name']} {self.description['version']}: retry in "
                f"{RETRY_AFTER_CLOSING} s",
                retry_after=RETRY_AFTER_CLOSING,
            )

    async def _place(self, *, is_new: bool, started: float) -> ReplicaHandle:
        """The replica with the fewest open requests. A request that had a place before waits for one.

        Raises: OverloadError, WorkerLostError.
        """
        while True:
            ready = [replica for replica in self._replicas if replica.is_ready and not replica.is_leaving]
            with_room = [replica for replica in ready if replica.has_room]
            if with_room:
                return min(with_room, key=lambda replica: replica.num_open)
            if is_new or self._stopped.is_set() or time.monotonic() - started > PLACE_SECONDS:
                raise self._no_place(ready)
            await asyncio.sleep(PLACE_LOOK_SECONDS)

    def _no_place(self, ready: Sequence[ReplicaHandle]) -> OverloadError:
        if not ready:
            return WorkerLostError(
                "no replica of this model is ready, and one is being started: retry later",
                retry_after=RETRY_AFTER_CLOSING,
            )
        work = [replica.pulse.seconds_of_work for replica in ready if replica.pulse is not None]
        seconds = min(LONGEST_RETRY_AFTER, max(1, math.ceil(min(work, default=0.0))))
        num_open = sum(replica.num_open for replica in ready)
        return OverloadError(
            f"the server has {num_open} open requests and accepts no more: retry in {seconds} s", retry_after=seconds
        )

    def _run(self) -> None:
        try:
            self._early = [self._launch.replica() for _ in range(self._scaling.bounds.least)]
            self._adopt()
            while self._failure is None and not self._stopped.is_set():
                for replica in list(self._replicas):
                    self._look(replica)
                if self._failure is None and not self._released.is_set():
                    self._scale(time.monotonic())
                self._stopped.wait(LOOK_SECONDS)
        except Exception as error:
            self._failure = error_of(error)
            if self._loaded.is_set() and not self._stopped.is_set():
                self._logs.events.error("replicas are not replaced any more: %s", self._failure)
            self._loaded.set()

    def _adopt(self) -> None:
        """Makes the archive, unless the server is stopped first. Raises: the errors of the task."""
        archive, self._content = self._launch.adopt(self._source)
        while not self._stopped.is_set() and not ray.wait([archive], timeout=LOOK_SECONDS)[0]:
            pass
        if not self._stopped.is_set():
            self._archive = ray.get(archive)
            self._sign = DrainSign.in_folder(self._signs, self._archive.name, self._archive.version)

    def _look(self, replica: ReplicaHandle) -> None:
        """Takes a replica's report. One that has ended is removed; `_scale` starts another."""
        name = f"{self._archive.name}-{self._archive.version}-{replica.slot}"
        try:
            if replica.look() and replica.loaded is not None:
                self._take_report(name, replica)
        except ZooError as error:
            if not self._loaded.is_set():
                self._failure = error
                self._loaded.set()
                return
            replica.kill()
            self._replicas.remove(replica)
            self._metrics.retire(name)
            if not replica.is_leaving:
                self._vacant.append(replica.slot)
            self._num_failures += 1
            self._start_after = time.monotonic() + min(LONGEST_PAUSE, 2.0 ** (self._num_failures - 1) - 1)
            if not self._released.is_set() and not replica.pid:
                self._logs.events.error("a replica cannot be started again: %s", error)
        if replica.is_leaving and replica.num_open == 0 and replica in self._replicas:
            self._end(name, replica)

    def _take_report(self, name: str, replica: ReplicaHandle) -> None:
        assert replica.loaded is not None
        self._num_failures = 0
        self.description = self.description or {**replica.loaded.description, "archive": str(self._archive.path)}
        if replica.pulse is not None:
            with suppress(OSError):  # a full disk; the next report has these counts, too
                self._metrics.keep(name, replica.pulse.metrics)
            for line in replica.pulse.events:
                self._logs.copy_record(line)
        if all(each.loaded is not None for each in self._replicas):
            self._loaded.set()

    def _end(self, name: str, replica: ReplicaHandle) -> None:
        """Ends a replica that is not needed any more and has no open requests."""
        self._replicas.remove(replica)
        with suppress(Exception):
            ray.wait([replica.close()], timeout=CLOSE_SECONDS)
        replica.kill()
        self._metrics.retire(name)

    def _scale(self, now: float) -> None:
        """Starts missing replicas, and those that the open draws need; gives up one that is not needed."""
        active = [replica for replica in self._replicas if not replica.is_leaving]
        work = sum(replica.pulse.seconds_of_work for replica in active if replica.pulse is not None)
        target = self._scaling.target(len(active) + len(self._vacant), seconds_of_work=work, now=now)
        del self._vacant[max(0, target - len(active)) :]
        if now >= self._start_after:
            for _ in range(target - len(active)):
                actor = self._early.pop() if self._early else self._launch.replica()
                loading = self._launch.load(actor, self._archive, self._content, self._counts)
                slot = self._vacant.pop() if self._vacant else next(self._slots)
                self._replicas.append(ReplicaHandle(slot, actor, loading))
        for replica in sorted(active, key=lambda replica: replica.num_open)[: max(0, len(active) - target)]:
            replica.is_leaving = True
