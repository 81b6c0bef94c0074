"""Decoding of a request's pictures to tensors: in this process, or in processes that can be ended.

A server decodes in processes of its own. Its steps go on meanwhile, a picture that takes too long is refused, and a
decoder that crashes takes no worker with it.

| process | takes | in the order of | processor time per request |
|---|---|---|---|
| quick | requests of at most QUICK_BYTES and QUICK_PIXELS | their size, smallest first | QUICK_SECONDS |
| patient | all others, and those that the quick one gave up | their arrival | PATIENT_SECONDS |

Usual pictures therefore do not wait for large or hostile ones. The patient process has a limited queue, beyond which
requests are refused with 429: those that wait occupy room on the server, and TorchServe passes their bytes again at
every step.
"""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from queue import PriorityQueue
from typing import Protocol

from PIL import Image
from torch import Tensor

from serving.protocol import Limits
from serving.service.decoding_child import Allowance, DecodingProcess, TooSlowError
from zoo.errors import ImageError, OverloadError, ZooError
from zoo.models.decoding_process import decode_images
from zoo.models.preprocessing import prepare
from zoo.models.spec import Preprocessing

QUICK_BYTES = 250_000  # the slowest known decoders, which are written in Python, take about a microsecond per byte
QUICK_PIXELS = 2_000_000
QUICK_SECONDS = 0.5
PATIENT_SECONDS = 5.0
RETRY_AFTER_SECONDS = 1
BYTES_PER_PIXEL = 24  # a decoded picture with transparency, its copies over white, and its RGB bytes
BYTES_BESIDE_PIXELS = 500_000_000  # the interpreter and the encoded pictures

Tensors = list[Tensor]


class Decoder(Protocol):
    """Decodes the pictures of requests to `x_CHW`, the tensors that the certificates cover."""

    def submit(self, images: Sequence[bytes]) -> Future[Tensors]:
        """The tensors of one request's pictures, in their order.

        The future raises ImageError if a picture is refused, and OverloadError if too many are waiting.
        A cancelled future is not decoded if that has not begun.
        """
        ...

    def close(self) -> None:
        """Ends the decoder. Requests that are not decoded yet are cancelled."""
        ...


class InlineDecoder:
    """Decodes in the calling thread: for tests and for a program that answers its own pictures only."""

    def __init__(self, preprocessing: Preprocessing, limits: Limits) -> None:
        self.preprocessing = preprocessing
        self.max_pixels = limits.max_pixels

    def submit(self, images: Sequence[bytes]) -> Future[Tensors]:
        future: Future[Tensors] = Future()
        try:
            decoded = decode_images(images, max_pixels=self.max_pixels)
            future.set_result([prepare(image, self.preprocessing) for image in decoded])
        except ImageError as error:
            future.set_exception(error)
        return future

    def close(self) -> None:
        pass


class DecodingProcesses:
    """Decodes in two processes, see the table above. They also end when this process ends."""

    def __init__(
        self,
        preprocessing: Preprocessing,
        limits: Limits,
        *,
        quick_seconds: float = QUICK_SECONDS,
        patient_seconds: float = PATIENT_SECONDS,
    ) -> None:
        """`quick_seconds`, `patient_seconds`: processor time that a process may spend on one request.

        The patient process takes at most half of the requests that may be open, and the bytes of one full request.
        """

        def convert(image: Image.Image) -> Tensor:
            return prepare(image, preprocessing)

        most_memory = BYTES_BESIDE_PIXELS + BYTES_PER_PIXEL * limits.max_pixels
        self._patient = _Lane(
            convert,
            Allowance(limits.max_pixels, None, patient_seconds, most_memory),
            give_up=_refuse_as_slow,
            most_requests=max(1, limits.max_open_requests // 2),
            most_bytes=limits.max_bytes,
        )
        self._quick = _Lane(
            convert,
            Allowance(limits.max_pixels, QUICK_PIXELS, quick_seconds, most_memory),
            give_up=self._patient.put,
        )
        self._num_submitted = itertools.count()

    def submit(self, images: Sequence[bytes]) -> Future[Tensors]:
        num_bytes = sum(len(data) for data in images)
        arrival = next(self._num_submitted)
        job = _Job(images=tuple(images), num_bytes=num_bytes, arrival=arrival)
        if num_bytes <= QUICK_BYTES:
            self._quick.put(job, priority=num_bytes)
        else:
            self._patient.put(job)
        return job.future

    def close(self) -> None:
        for lane in (self._quick, self._patient):
            lane.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    images: tuple[bytes, ...]
    num_bytes: int
    arrival: int
    future: Future[Tensors] = field(default_factory=Future)


class _Lane:
    """One decoding process, and the thread that passes it one request after another."""

    def __init__(
        self,
        convert: Callable[[Image.Image], Tensor],
        allowance: Allowance,
        *,
        give_up: Callable[[_Job], None],
        most_requests: float = math.inf,
        most_bytes: float = math.inf,
    ) -> None:
        """Starts the thread, which starts the process.

        `give_up` receives the requests that are too large or too slow for this lane. `most_requests`, `most_bytes`: the
        maximum that may wait or be decoded at a time; a single request may have more bytes.
        """
        self._convert = convert
        self._allowance = allowance
        self._give_up = give_up
        self._most_requests, self._most_bytes = most_requests, most_bytes
        self._unfinished: dict[int, int] = {}  # sizes in bytes by the number of the arrival
        self._waiting: PriorityQueue[tuple[float, int, _Job | None]] = PriorityQueue()
        self._process: DecodingProcess | None = None
        self._thread = threading.Thread(target=self._run, name="decoding", daemon=True)
        self._thread.start()

    def put(self, job: _Job, *, priority: float = 0) -> None:
        """Adds a request. Small priorities go first, and older requests among equal ones."""
        sizes = list(self._unfinished.values())
        if len(sizes) >= self._most_requests or (sizes and sum(sizes) + job.num_bytes > self._most_bytes):
            _finish(job.future, _overload())
            return
        self._unfinished[job.arrival] = job.num_bytes
        self._waiting.put((priority, job.arrival, job))

    def close(self) -> None:
        self._waiting.put((-math.inf, -1, None))
        self._thread.join()
        if self._process is not None:
            self._process.end()
        while not self._waiting.empty():
            _, _, job = self._waiting.get()
            if job is not None:
                job.future.cancel()

    def _run(self) -> None:
        with suppress(OSError, EOFError):  # the first request starts it again, and tells why that fails
            self._process = DecodingProcess(self._allowance.most_memory)
        while (job := self._waiting.get()[2]) is not None:
            if not job.future.cancelled():
                self._decode(job)
            del self._unfinished[job.arrival]

    def _decode(self, job: _Job) -> None:
        try:
            decoded = self._ask(job)
        except ImageError as error:
            _finish(job.future, error)
            return
        except TooSlowError:
            self._abandon_process()
            self._give_up(job)
            return
        except Exception as error:  # the process died, or its answer makes no sense
            self._abandon_process()
            _finish(job.future, _unreadable(error))
            return
        if decoded is None:
            self._give_up(job)
        else:
            _finish(job.future, decoded)

    def _ask(self, job: _Job) -> Tensors | None:
        """The tensors; None if the pictures are too large for this lane."""
        if self._process is None or self._process.has_ended:
            self._process = DecodingProcess(self._allowance.most_memory)
        pictures = self._process.decode(job.images, self._allowance)
        return None if pictures is None else [self._convert(picture) for picture in pictures]

    def _abandon_process(self) -> None:
        if self._process is not None:
            self._process.end()
            self._process = None


def _refuse_as_slow(job: _Job) -> None:
    message = "the images take too long to decode: save them again in a plain form, such as a baseline JPEG"
    _finish(job.future, ImageError(message, http_status=413))


def _overload() -> OverloadError:
    return OverloadError(
        f"too many large images are waiting to be decoded: retry in {RETRY_AFTER_SECONDS} s",
        retry_after=RETRY_AFTER_SECONDS,
    )


def _unreadable(cause: Exception) -> ImageError:
    error = ImageError("the images cannot be decoded", http_status=422)
    error.__cause__ = cause
    return error


def _finish(future: Future[Tensors], outcome: Tensors | ZooError) -> None:
    with suppress(InvalidStateError):  # cancelled meanwhile
        if isinstance(outcome, ZooError):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)
