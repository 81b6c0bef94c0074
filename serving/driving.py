"""Steps a service in a thread of its own while requests are open; a front end opens and forgets requests."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import threading
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import suppress
from typing import Any

from serving.application.models import ReceivedRequest
from serving.protocol import BinaryBody, model_metadata
from serving.service.replies import Reply
from serving.service.service import InferenceService, RequestId
from zoo.errors import RequestError

logger = logging.getLogger(__name__)

Row = Mapping[str, object]
Deliver = Callable[[Reply], None]
# A body in base64 and JSON is larger than its images; a larger body is refused before the service can say why.
BODY_BYTES_PER_IMAGE_BYTE = 2
SEEN: Row = {}
JSON_BEGINS = (b"{", b"[")


class Driver:
    """Calls `InferenceService.step` in a thread while requests are open, and delivers the replies from that thread."""

    def __init__(self, service: InferenceService, *, after_step: Callable[[int], None] = lambda num_open: None) -> None:
        """Starts the thread. `after_step` gets the number of open requests after each step."""
        self.service = service
        self._after_step = after_step
        self._rows: dict[RequestId, Row] = {}
        self._deliver: dict[RequestId, Deliver] = {}
        self._begun: set[RequestId] = set()  # those with a delivered reply
        self._changed = threading.Condition()
        self._is_closed = False
        self._can_forget = True
        self._thread = threading.Thread(target=self._run, name="driver", daemon=True)
        self._thread.start()

    def open(self, id: RequestId, request: ReceivedRequest, deliver: Deliver) -> None:
        """Opens a request under an id of its own. Its replies are delivered up to the last, unless it is forgotten.

        The first reply, which says that the service has taken the request, is delivered in any case, a later one if it
        has news. A step gives every open request a reply, and with many open requests most have none.
        `deliver` must be quick and must not raise.
        """
        try:
            row = row_of(request)
        except RequestError as error:
            deliver(Reply.refusing(error, is_v2=request.kind == "binary"))
            return
        with self._changed:
            self._rows[id], self._deliver[id] = row, deliver
            self._changed.notify()

    def forget(self, id: RequestId) -> None:
        """Ends a request, if it is still open: its client has disconnected, and no more noise is drawn for it."""
        with self._changed:
            self._rows.pop(id, None)
            self._deliver.pop(id, None)
            self._begun.discard(id)
            self._changed.notify()

    def close(self) -> None:
        """Ends the thread after its current step, and the service's decoder. Open requests get no more replies."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join()
        self.service.close()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(self._has_work)
                if self._is_closed:
                    return
                rows = dict(self._rows)
            self._step(rows)

    def _has_work(self) -> bool:
        """Whether there is something to do, if only to let the service forget requests whose rows are gone."""
        return bool(self._is_closed or self._rows or (self.service.num_open and self._can_forget))

    def _step(self, rows: Mapping[RequestId, Row]) -> None:
        try:
            replies = self.service.step(rows)
            self._can_forget = True
        except Exception:
            logger.exception("a step failed; every open request gets an error")
            replies = dict.fromkeys(rows, Reply.failing())
            self._can_forget = bool(rows)
        with self._changed:
            for id in rows.keys() & self._rows.keys():
                self._rows[id] = SEEN  # the service has parsed it, and the body is not needed any more
            deliveries = []
            for id, reply in replies.items():
                deliver = self._deliver.get(id)
                if deliver is not None and (reply.has_news or id not in self._begun):
                    deliveries.append((deliver, reply))
                    self._begun.add(id)
                if reply.is_last:
                    self._rows.pop(id, None)
                    self._deliver.pop(id, None)
                    self._begun.discard(id)
        self._after_step(self.service.num_open)
        for deliver, reply in deliveries:
            deliver(reply)


class DrivenModel:
    """A service in this process as a model of the application: an `AnsweringModel`."""

    def __init__(self, service: InferenceService) -> None:
        self.service = service
        self.driver = Driver(service)
        self._ids = itertools.count()

    @property
    def max_body_bytes(self) -> int:
        return BODY_BYTES_PER_IMAGE_BYTE * self.service.limits.max_bytes

    @property
    def is_ready(self) -> bool:
        return not self.service.is_closing()

    def metadata(self) -> dict[str, Any]:
        return model_metadata(model=self.service.spec.name, version=self.service.version)

    def close(self) -> None:
        """Ends the thread, and the service's decoder."""
        self.driver.close()

    async def replies(self, request: ReceivedRequest) -> AsyncGenerator[Reply]:
        """The replies up to the last. Closing the generator earlier ends the request."""
        loop, queue = asyncio.get_running_loop(), asyncio.Queue[Reply]()

        def deliver(reply: Reply) -> None:
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(queue.put_nowait, reply)

        id = next(self._ids)
        self.driver.open(id, request, deliver)
        del request  # its body may be large, and the service has it
        try:
            while True:
                reply = await queue.get()
                yield reply
                if reply.is_last:
                    return
        finally:
            self.driver.forget(id)


def row_of(request: ReceivedRequest) -> Row:
    """The row of a request, in the format that TorchServe passes to a handler: a form's fields, or `body`.

    Parameters of the address join those of the form or of the JSON. With the bytes of an image they make a form.
    Raises: RequestError if a parameter is in the address and in the body.
    """
    if request.kind == "form":
        return _joined(request.fields, request.query)
    body = request.fields["body"]
    if request.kind == "binary":
        binary = BinaryBody(body, request.header_length or "")
        return {"body": _binary_with(binary, request.query) if request.query else binary}
    if request.kind == "json" or (request.query and body.lstrip()[:1] in JSON_BEGINS):
        with suppress(ValueError, RecursionError):
            return {"body": _json_with(json.loads(body), request.query)}
        return {"body": body}
    return {"data": body, **request.query} if request.query else {"body": body}


def _binary_with(binary: BinaryBody, query: Mapping[str, str]) -> BinaryBody:
    head, tensors = binary.split()
    try:
        joined = json.dumps(_json_with(json.loads(head), query)).encode()
    except (ValueError, RecursionError):
        return binary  # refused when it is parsed
    return BinaryBody(joined + tensors, str(len(joined)))


def _json_with(body: object, query: Mapping[str, str]) -> object:
    """The JSON of a body, with the parameters of the address in its `parameters`."""
    if not query or not isinstance(body, dict) or not isinstance(body.get("parameters", {}), dict):
        return body
    return {**body, "parameters": _joined(body.get("parameters", {}), query)}


def _joined(parameters: Mapping[str, Any], query: Mapping[str, str]) -> dict[str, object]:
    both = sorted(parameters.keys() & query.keys())
    if both:
        raise RequestError(f"parameter {both[0]} is in the address and in the body: give it once")
    return {**parameters, **query}
