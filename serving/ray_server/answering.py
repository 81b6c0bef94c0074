"""A loaded replica: drives a service in the process of a Ray actor."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import struct
import tempfile
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray

from serving.application.models import Part, ReceivedRequest
from serving.driving import Deliver, Driver
from serving.front.model_loading import Surroundings, description_of, load, message_of
from serving.metrics import PrometheusObserver
from serving.ray_server.messages import Loaded, Pulse, ReplicaSettings
from serving.server.logs import JsonLines
from serving.server.model_store import Archive
from serving.service.replies import Reply
from serving.service.service import InferenceService
from zoo.errors import ServerError, WorkerLostError, ZooError

logger = logging.getLogger(__name__)

METRICS = "PROMETHEUS_MULTIPROC_DIR"
NUM_EVENTS = 1000
COUNTS_SECONDS = 30.0
COUNTS_RETRY_AFTER = 2
NUM_BYTES = struct.Struct("i")  # a metrics file begins with the number of its bytes that are in use


class AnsweringReplica:
    """Answers requests for one version of a model, as the methods of the actor."""

    def __init__(self, archive: Archive, service: InferenceService, events: RecentEvents) -> None:
        self._archive, self._service, self._events = archive, service, events
        self._queues: dict[int, asyncio.Queue[Reply | None]] = {}
        self._seconds_of_work = 0.0
        self._driver = Driver(service, after_step=self._note_work)

    @classmethod
    def load(cls, settings: ReplicaSettings, content: bytes, counts: Any) -> AnsweringReplica:
        """Loads the model. Raises: ZooError, also for the errors of other libraries."""
        events = RecentEvents()
        logging.getLogger().addHandler(events)
        metrics_folder().mkdir(parents=True, exist_ok=True)
        try:
            with tempfile.TemporaryDirectory() as folder:
                archive = replace(settings.archive, path=Path(folder) / settings.archive.path.name)
                archive.path.write_bytes(content)
                service = load(
                    archive,
                    unpacked=Path(folder) / "unpacked",
                    surroundings=Surroundings(
                        noise_secret=settings.noise_secret,
                        families=lambda: RemoteCounts(counts),
                        observer=PrometheusObserver(model=archive.name, version=archive.version),
                        is_closing=lambda: False,  # the front process refuses requests
                    ),
                )
        except ZooError:
            raise
        except Exception as error:
            raise ServerError(message_of(error)) from error
        return cls(settings.archive, service, events)

    def loaded(self) -> Loaded:
        """What the front process needs to know of the replica."""
        description = description_of(self._archive, self._service)
        most = self._service.limits.max_open_requests
        return Loaded(pid=os.getpid(), max_open_requests=most, description=description)

    async def answer(self, id: int, request: ReceivedRequest) -> Part:
        """Opens a request under an id of its own; its first part that is news."""
        self._queues[id] = asyncio.Queue()
        self._driver.open(id, request, self._deliver_to(self._queues[id]))
        del request  # its body may be large, and the service has it
        return await self.more(id)

    async def more(self, id: int) -> Part:
        """The next part of an open request. An empty last part, if it is forgotten meanwhile."""
        queue = self._queues[id]
        reply = await queue.get()
        if reply is None:
            return Part(text=b"", is_last=True, content_type="")
        if reply.is_last:
            self._queues.pop(id, None)
        text = reply.text.encode() if isinstance(reply.text, str) else reply.text
        return Part(
            text=text,
            is_last=reply.is_last,
            content_type=reply.content_type,
            status=reply.status,
            headers=dict(reply.headers),
        )

    def forget(self, id: int) -> None:
        """Ends a request, if it is still open: no more noise is drawn for it."""
        queue = self._queues.pop(id, None)
        if queue is not None:
            self._driver.forget(id)
            queue.put_nowait(None)

    def pulse(self) -> Pulse:
        """What the replica reports of itself."""
        return Pulse(seconds_of_work=self._seconds_of_work, metrics=metrics_files(), events=self._events.take())

    def close(self) -> None:
        """Ends the decoder and removes the metrics files."""
        self._driver.close()
        shutil.rmtree(metrics_folder(), ignore_errors=True)

    def _note_work(self, num_open: int) -> None:
        seconds_per_draw = self._service.step_size.seconds_per_draw or 0.0
        self._seconds_of_work = self._service.engine.num_remaining * seconds_per_draw

    def _deliver_to(self, queue: asyncio.Queue[Reply | None]) -> Deliver:
        """The function that passes replies on, from the stepping thread. Replies without news stay behind."""
        loop = asyncio.get_running_loop()

        def deliver(reply: Reply) -> None:
            if reply.is_last or reply.text:
                with suppress(RuntimeError):  # the loop has ended
                    loop.call_soon_threadsafe(queue.put_nowait, reply)

        return deliver


class RemoteCounts:
    """The counts of questions in the one actor that keeps them for all replicas: `Families`."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor

    def index(self, *, image: bytes, question: bytes) -> int:
        """The question's index. Raises: WorkerLostError if the actor does not answer; ServerError."""
        try:
            index: int = ray.get(self._actor.index.remote(image=image, question=question), timeout=COUNTS_SECONDS)
        except ray.exceptions.RayTaskError as error:
            raise (error.cause if isinstance(error.cause, ZooError) else ServerError(str(error.cause))) from error
        except ray.exceptions.RayError as error:
            raise WorkerLostError(
                "the counts of questions cannot be reached: retry later", retry_after=COUNTS_RETRY_AFTER
            ) from error
        return index


class RecentEvents(logging.Handler):
    """Keeps warnings and errors as JSON lines until they are taken; beyond a thousand, the oldest are lost."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.setFormatter(JsonLines(is_serving=True))
        self._lines: deque[str] = deque(maxlen=NUM_EVENTS)

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(self.format(record))

    def take(self) -> list[str]:
        """The lines since the last call."""
        return [self._lines.popleft() for _ in range(len(self._lines))]


def metrics_folder() -> Path:
    """The folder of this process's metrics files, which the front process has chosen."""
    return Path(os.environ[METRICS])


def metrics_files() -> Mapping[str, bytes]:
    """The bytes in use of this process's metrics files, by their kind: counter and histogram."""
    files = {}
    for path in metrics_folder().glob("*.db"):
        kind = path.name.partition("_")[0]
        if kind != "gauge":  # the front process counts the open requests
            content = path.read_bytes()
            files[kind] = content[: NUM_BYTES.unpack_from(content)[0]]
    return files
