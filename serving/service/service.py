"""The inference service: takes the rows of all open requests, runs engine steps, and returns replies.

The service uses neither sockets nor TorchServe. Its driver calls `step` repeatedly with all open requests.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Hashable, Iterable, Mapping, Set
from concurrent.futures import FIRST_COMPLETED, wait
from typing import Any

import torch

from serving.protocol import Limits, answer, parse_request, respond, wire_of
from serving.service.admission import Admission
from serving.service.decoding import Decoder, InlineDecoder
from serving.service.family_store import Families, FamilyStore
from serving.service.noise_secret import fresh_noise_secret
from serving.service.observer import Answered, NullObserver, ServiceObserver
from serving.service.open_request import DecodingRequest, OpenRequest
from serving.service.replies import Reply, ResponseForm, encode_copies
from serving.service.step_size import StepSize
from zoo.errors import ClosingError, OverloadError, ZooError
from zoo.models.spec import ModelSpec
from zoo.smoothing import (
    BaseClassifier,
    Certificate,
    CertificationEngine,
    LabelSet,
    LabelSetSpec,
    NoisySampler,
    SamplingOptions,
)

logger = logging.getLogger(__name__)

RequestId = Hashable
FIRST_VERSION = "1.0"
SECONDS_PER_STEP = 0.2
LONGEST_RETRY_AFTER = 60
RETRY_AFTER_CLOSING = 5
SECONDS_FOR_NEW_IMAGES = 0.02  # most are decoded within that time, and then drawn for in the same step


class InferenceService:
    """Answers requests for one model by continuous batching: requests join and leave at every step."""

    def __init__(
        self,
        base: BaseClassifier,
        spec: ModelSpec,
        *,
        sigma: float,
        model_sha256: str,
        limits: Limits,
        batch_size: int,
        first_step: int | None = None,
        decoder: Decoder | None = None,
        version: str = FIRST_VERSION,
        noise_secret: bytes | None = None,
        families: Families | None = None,
        label_sets: LabelSetSpec | None = None,
        observer: ServiceObserver | None = None,
        is_closing: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Creates a service without open requests.

        Args:
            base: the base classifier.
            spec: the model.
            sigma: the noise level on the [0, 1] pixel scale.
            model_sha256: the SHA-256 of the weights, for the answers.
            limits: the operator's limits and defaults.
            batch_size: the maximum number of draws per step over all open requests.
            first_step: the number of draws of the first step; `batch_size` unless given. It does not change if batches
                have a fixed shape, because smaller steps would not be faster.
            decoder: decodes the images; by default in the thread that calls `step`.
            version: the version that responses name.
            noise_secret: the deployment's secret, from which repeatable answers derive their noise; services with the
                same secret repeat each other's answers. None for a secret of this service.
            families: counts the questions about each image for all services that share it; None for counts of this
                service.
            label_sets: the calibration of the model's label sets; None if there is none.
            observer: receives the service's events.
            is_closing: while it returns True, the service refuses new requests with 503 and continues open ones.
            clock: seconds of a monotonic clock, for tests.
        """
        self.spec = spec
        self.model_sha256 = model_sha256
        self.limits = limits
        self.version = version
        self.observer = observer or NullObserver()
        self.is_closing = is_closing
        self.clock = clock
        self.engine = CertificationEngine(NoisySampler(base, SamplingOptions(batch_size=batch_size)))
        seconds = math.inf if base.depends_on_batch_shape else SECONDS_PER_STEP
        self.step_size = StepSize(first_step or batch_size, largest=batch_size, seconds=seconds)
        self._admission = Admission(
            spec,
            sigma=sigma,
            model_sha256=model_sha256,
            limits=limits,
            noise_secret=noise_secret or fresh_noise_secret(),
            families=families or FamilyStore(),
            backend=base.name,
            label_sets=label_sets,
        )
        self._decoder = decoder or InlineDecoder(spec.preprocessing, limits)
        self._decoding: dict[RequestId, DecodingRequest] = {}
        self._open: dict[RequestId, OpenRequest] = {}

    @property
    def num_open(self) -> int:
        """The number of open requests, including those whose images are being decoded."""
        return len(self._open) + len(self._decoding)

    def step(self, rows: Mapping[RequestId, Mapping[str, object]], *, seconds: float = 0.0) -> dict[RequestId, Reply]:
        """The replies to the requests in `rows` after one engine step, or after several.

        The service parses a row when it first sees the row's id. It forgets a request that is no longer in `rows`, and
        a request that got its last reply. A request has no reply while its images are being decoded, so that it can
        still be refused with a status of its own.

        Args:
            rows: all open requests, by id.
            seconds: further engine steps follow while no reply has news and the next step is expected to end within
                this time from the start of the call. A driver for which a call is expensive needs fewer calls.
        """
        began = self.clock()
        self._forget_all_but(rows.keys())
        new = [id for id in rows if id not in self._open and id not in self._decoding]
        replies: dict[RequestId, Reply] = {}
        is_full = False
        for id in new:
            if not is_full and self.num_open == self.limits.max_open_requests:
                is_full, replies = True, replies | self._open_decoded(new)  # images that are refused make room
            refusal = self._receive(id, rows[id])
            if refusal is not None:
                replies[id] = refusal
        replies |= self._open_decoded(new)
        while True:
            began_step = self.clock()
            replies |= self._step_engine()
            if self.engine.num_open == 0 or any(reply.has_news for reply in replies.values()):
                return replies
            now = self.clock()
            if now - began + (now - began_step) >= seconds:
                return replies
            replies |= self._open_decoded(())

    def _step_engine(self) -> dict[RequestId, Reply]:
        """The replies to the open requests after one engine step."""
        failures = self._draw()
        replies = {id: self._reply(open_request, failures.get(id)) for id, open_request in self._open.items()}
        self._close(id for id, reply in replies.items() if reply.is_last)
        return replies

    def close(self) -> None:
        """Ends the decoder; the service must not be used afterwards."""
        self._decoder.close()

    def _receive(self, id: RequestId, row: Mapping[str, object]) -> Reply | None:
        """Starts to decode a request. The reply of refusal if the request is invalid or the server is full."""
        try:
            self._require_room()
            request = parse_request(row, self.limits)
            target = self._admission.target(request)
            self._decoding[id] = DecodingRequest(
                request, target, self._decoder.submit(request.images), received_at=self.clock()
            )
        except Exception as error:
            if not isinstance(error, ZooError):
                logger.exception("a request could not be parsed")
            return self._refusal(error, is_v2=wire_of(row) == "v2")
        return None

    def _open_decoded(self, new: Iterable[RequestId]) -> dict[RequestId, Reply]:
        """Opens the requests whose images are decoded. The replies of refusal to those whose images are not accepted.

        Waits a moment for the images of new requests, and longer if there is nothing to draw for.
        """
        wait([self._decoding[id].images for id in new if id in self._decoding], timeout=SECONDS_FOR_NEW_IMAGES)
        if self.engine.num_open == 0:
            wait(
                [decoding.images for decoding in self._decoding.values()],
                timeout=SECONDS_PER_STEP,
                return_when=FIRST_COMPLETED,
            )
        refusals: dict[RequestId, Reply] = {}
        for id, decoding in list(self._decoding.items()):
            if decoding.images.done():
                del self._decoding[id]
                try:
                    self._open_request(id, decoding)
                except Exception as error:
                    if not isinstance(error, ZooError):
                        logger.exception("a request could not be opened")
                    if id in self._open:
                        self._close([id])
                    refusals[id] = self._refusal(error, is_v2=decoding.request.wire == "v2")
        return refusals

    def _open_request(self, id: RequestId, decoding: DecodingRequest) -> None:
        """Opens a request for draws. Raises: ImageError, OverloadError if its images are not accepted."""
        request = decoding.request
        questions = self._admission.questions(id, request, decoding.target, decoding.images.result())
        form = ResponseForm.of(request, model=self.spec.name, version=self.version)
        opened = OpenRequest(request, questions, form, admitted_at=decoding.received_at, cut_at=decoding.cut_at)
        self._open[id] = opened
        for place, question in enumerate(questions):
            if question.entry.result is None:
                self.engine.admit(question.job)
            else:
                opened.results[place] = question.entry.result
        mode = request.parameters.mode
        self.observer.admitted(mode=mode, stopping=opened.stopping, num_images=len(questions))

    def _require_room(self) -> None:
        if self.is_closing():
            raise ClosingError(
                f"this server is stopping {self.spec.name} {self.version}: retry in {RETRY_AFTER_CLOSING} s",
                retry_after=RETRY_AFTER_CLOSING,
            )
        if self.num_open < self.limits.max_open_requests:
            return
        seconds = self.engine.num_remaining * (self.step_size.seconds_per_draw or 0)
        retry_after = min(LONGEST_RETRY_AFTER, max(1, math.ceil(seconds)))
        raise OverloadError(
            f"the server has {self.num_open} open requests and accepts no more: retry in {retry_after} s",
            retry_after=retry_after,
        )

    def _draw(self) -> dict[RequestId, Exception]:
        """Runs one engine step. The errors of the requests that failed in it, by request id."""
        if self.engine.num_open == 0:
            return {}
        capacity, drawn_before, started = self.step_size.value, self._num_drawn(), self.clock()
        try:
            finished, failed = self.engine.step_apart(capacity)
        except Exception as error:
            logger.exception("an engine step failed; every open request gets an error")
            return dict.fromkeys(self._open, error)
        seconds, num_draws = self.clock() - started, self._num_drawn() - drawn_before
        self.step_size.observe(num_draws, seconds)
        self.observer.stepped(num_draws=num_draws, capacity=capacity, num_open=len(self._open), seconds=seconds)
        for job in finished:
            id, place = _split(job.id)
            self._open[id].results[place] = self._open[id].questions[place].entry.result = job.result
        for failure in failed:
            logger.error("an engine step failed for one image", exc_info=failure.error)
        return {_split(failure.id)[0]: failure.error for failure in failed}

    def _num_drawn(self) -> int:
        return sum(opened.num_draws for opened in self._open.values())

    def _reply(self, opened: OpenRequest, failure: Exception | None) -> Reply:
        """The next reply to an open request."""
        if failure is None:
            try:
                return self._answer(opened)
            except Exception:
                logger.exception("an answer could not be formatted")
        # The request was valid at admission, so this is an internal error and not the client's.
        return self._observed(Reply.failing(opened.form))

    def _answer(self, opened: OpenRequest) -> Reply:
        backend = self.engine.sampler.backend
        if not opened.is_answered and opened.cut_at is not None and self.clock() >= opened.cut_at:
            opened.cut_off(backend=backend)
        if opened.is_answered:
            answers = [self._answer_of(opened, place) for place in range(len(opened.questions))]
            self._report_answered(opened)
            if opened.is_stream:
                return Reply.line(answers[0], is_last=True)
            text = respond(opened.request, answers, model=self.spec.name, version=self.version)
            return Reply.answering(text, opened.form)
        news = opened.news(backend=backend) if opened.is_stream else None
        if news is None:
            return Reply.nothing_yet(opened.form)
        entry = opened.questions[0].entry
        body = answer(
            news,
            self.spec,
            model_sha256=self.model_sha256,
            repeatable=entry.repeats,
            family=entry.family,
            final=False,
        )
        return Reply.line(body, is_last=False)

    def _answer_of(self, opened: OpenRequest, place: int) -> dict[str, Any]:
        result, parameters = opened.results[place], opened.request.parameters
        job, copies = opened.questions[place].job, None
        if parameters.copies:  # an image that was cut off before its class was selected has no copies
            draws = job.first_draws(parameters.copies)
            copies = encode_copies(self.engine.sampler.copies(draws)) if result.n else []
        return answer(
            result,
            self.spec,
            model_sha256=self.model_sha256,
            repeatable=opened.questions[place].entry.repeats,
            family=opened.questions[place].entry.family,
            deadline_reached=None if opened.cut_at is None else place in opened.cut,
            copies=copies,
            input_image=encode_copies(torch.from_numpy(job.x_CHW[None]))[0] if parameters.input_image else None,
            final=True if opened.is_stream else None,
        )

    def _report_answered(self, opened: OpenRequest) -> None:
        results = list(opened.results.values())
        members = [question.entry.family for question in opened.questions]
        self.observer.answered(
            Answered(
                mode=opened.request.parameters.mode,
                stopping=opened.stopping,
                num_images=len(results),
                num_draws=opened.num_draws,
                radii=[result.radius for result in results if isinstance(result, Certificate)],
                num_abstained=sum(not isinstance(result, LabelSet) and result.abstained for result in results),
                family_indices=[member.index for member in members if member is not None],
                deadline_reached=bool(opened.cut),
                seconds=self.clock() - opened.admitted_at,
            )
        )

    def _refusal(self, error: Exception, *, is_v2: bool) -> Reply:
        return self._observed(Reply.refusing(error, is_v2=is_v2))

    def _observed(self, reply: Reply) -> Reply:
        self.observer.refused(error=reply.body["type"], status=reply.status)
        return reply

    def _forget_all_but(self, ids: Set[RequestId]) -> None:
        for id in self._decoding.keys() - ids:
            self._decoding.pop(id).images.cancel()
            self.observer.forgotten(num_draws=0)
        gone = self._open.keys() - ids
        for id in gone:
            self.observer.forgotten(num_draws=self._open[id].num_draws)
        self._close(gone)

    def _close(self, ids: Iterable[RequestId]) -> None:
        for id in list(ids):
            self.engine.forget(self._open.pop(id).job_ids())


def _split(job_id: Hashable) -> tuple[RequestId, int]:
    assert isinstance(job_id, tuple)  # Admission creates the ids as tuples
    id, place = job_id
    return id, place
