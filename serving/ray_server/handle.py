"""One replica, as the front process sees it: its actor, its state, and the requests that it has."""

from __future__ import annotations

import itertools
import logging
import math
import time
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Any

import ray

from serving.application.models import Part, ReceivedRequest
from serving.ray_server.launch import error_of
from serving.ray_server.messages import Loaded, Pulse
from zoo.errors import ServerError, WorkerLostError

logger = logging.getLogger(__name__)

UNANSWERED_SECONDS = 60.0
RETRY_AFTER = 2
GONE = (ray.exceptions.RayActorError, ray.exceptions.ObjectLostError)


class ReplicaHandle:
    """One replica. `look` is called in one thread, `replies` in the event loop."""

    def __init__(self, slot: int, actor: Any, loading: Any) -> None:
        """`loading` is the reference to what the actor reports when it has loaded the model."""
        self.slot = slot
        self.loaded: Loaded | None = None
        self.pulse: Pulse | None = None
        self.is_ready = False
        self.is_leaving = False
        """Whether it gets no further requests, because it is not needed any more."""
        self.num_open = 0
        self._actor = actor
        self._report, self._asked_at = loading, time.monotonic()
        self._lost_at = -math.inf
        self._ids = itertools.count()

    @property
    def pid(self) -> int:
        """The process id on the replica's machine; 0 until the model is loaded."""
        return 0 if self.loaded is None else self.loaded.pid

    @property
    def has_room(self) -> bool:
        """Whether the replica may have another open request."""
        return self.loaded is not None and self.num_open < self.loaded.max_open_requests

    def look(self) -> bool:
        """Takes the replica's latest report; whether there was one. Raises: ZooError if it has ended or cannot load."""
        if not ray.wait([self._report], timeout=0)[0]:
            if self.loaded is not None and time.monotonic() - self._asked_at > UNANSWERED_SECONDS:
                raise ServerError(f"a replica has not answered for {UNANSWERED_SECONDS:.0f} s")
            return False
        try:
            report = ray.get(self._report)
        except Exception as error:
            raise error_of(error) from error
        if isinstance(report, Loaded):
            self.loaded, self.is_ready = report, True
        else:
            self.pulse = report
            # Ray may have reported a replica as ended that was only unavailable for a moment.
            self.is_ready = self.is_ready or self._asked_at > self._lost_at
        self._report, self._asked_at = self._actor.pulse.remote(), time.monotonic()
        return True

    async def replies(self, request: ReceivedRequest) -> AsyncGenerator[Part]:
        """The parts of the response. Closing the generator earlier ends the request.

        Raises: WorkerLostError if the replica ends before its last part.
        """
        id, is_open = next(self._ids), True
        self.num_open += 1
        try:
            part: Part = await self._actor.answer.remote(id, request)
            while True:
                is_open = not part.is_last
                yield part
                if part.is_last:
                    return
                part = await self._actor.more.remote(id)
        except ray.exceptions.RayError as error:
            is_open = isinstance(error, ray.exceptions.ActorUnavailableError)  # it may run on, and must end the request
            if isinstance(error, GONE):
                self.is_ready, self._lost_at = False, time.monotonic()
            else:
                logger.error("a call of a replica failed", exc_info=error)
            raise WorkerLostError(
                f"the replica that had the request has ended: retry in {RETRY_AFTER} s", retry_after=RETRY_AFTER
            ) from error
        finally:
            self.num_open -= 1
            if is_open:
                self._actor.forget.remote(id)

    def close(self) -> Any:
        """Makes the replica remove its files; the reference to the end of that."""
        self.is_ready = False
        return self._actor.close.remote()

    def kill(self) -> None:
        """Ends the replica's process, if it runs; open requests are cut off."""
        self.is_ready = False
        with suppress(Exception):  # Ray raises several kinds when the cluster has gone
            ray.kill(self._actor)
