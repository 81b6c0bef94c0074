"""The service without its server: rows of open requests in, replies out, one engine step a call.

It knows neither sockets nor TorchServe. Whoever drives it calls `step` again and again with all requests that are open.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from serving.images import decode_image
from serving.protocol import (
    DRAWS_OF_A_PREDICTION,
    Limits,
    Request,
    answer,
    error_body,
    parse_request,
    smoothing_of,
)
from zoo.errors import ZooError
from zoo.preprocessing import prepare
from zoo.smoothing import (
    BaseClassifier,
    Certification,
    CertificationEngine,
    NoiseKey,
    NoisySampler,
    Prediction,
    SamplingOptions,
)
from zoo.smoothing.jobs import Job
from zoo.spec import ModelSpec

logger = logging.getLogger(__name__)

RequestId = Hashable


@dataclass(frozen=True, slots=True)
class Reply:
    """A complete answer to one request."""

    status: int
    body: dict[str, Any]


SERVER_FAILED = Reply(500, error_body(500, "the server failed; its log says why", type="InternalServerError"))


@dataclass(slots=True)
class _OpenRequest:
    """A request whose images are being drawn for: a job an image, answers by the image's place."""

    request: Request
    answers: dict[int, dict[str, Any]] = field(default_factory=dict)

    def reply(self) -> Reply | None:
        if len(self.answers) < len(self.request.images):
            return None
        in_order = [self.answers[place] for place in range(len(self.request.images))]
        return Reply(200, {"predictions": in_order} if self.request.batched else in_order[0])


class InferenceService:
    """Answers requests about one model; requests join and leave at every step."""

    def __init__(
        self,
        base: BaseClassifier,
        spec: ModelSpec,
        *,
        sigma: float,
        model_sha256: str,
        limits: Limits,
        batch_size: int,
    ) -> None:
        """`sigma` on the [0, 1] pixel scale; `batch_size` draws are made a step, for all open requests together."""
        self.spec = spec
        self.sigma = sigma
        self.model_sha256 = model_sha256
        self.limits = limits
        self.engine = CertificationEngine(NoisySampler(base, SamplingOptions(batch_size=batch_size)))
        self._open: dict[RequestId, _OpenRequest] = {}

    def step(self, rows: Mapping[RequestId, Mapping[str, object]]) -> dict[RequestId, Reply | None]:
        """One engine step for the requests in `rows`, which are all that are open; None means: not finished yet.

        A row is read when its id is seen for the first time. A request that is no longer in `rows` is forgotten.
        """
        self._forget(self._open.keys() - rows.keys())
        replies: dict[RequestId, Reply | None] = {}
        for id, row in rows.items():
            if id not in self._open:
                replies[id] = self._admit(id, row)
        try:
            for finished in self.engine.step():
                assert isinstance(finished.id, tuple)  # as _jobs made it
                id, place = finished.id
                self._open[id].answers[place] = answer(finished.result, self.spec, model_sha256=self.model_sha256)
        except Exception:
            logger.exception("an engine step failed; every open request is answered with an error")
            replies |= dict.fromkeys(self._open, SERVER_FAILED)
            self._forget(self._open.keys())
        for id in rows:
            if id in self._open:
                replies[id] = self._open[id].reply()
        self._forget([id for id, reply in replies.items() if reply is not None])
        return replies

    def _admit(self, id: RequestId, row: Mapping[str, object]) -> Reply | None:
        """Opens a request; the reply if it ends here because it is wrong."""
        try:
            request = parse_request(row, self.limits)
            jobs = self._jobs(id, request)
        except Exception as error:
            if not isinstance(error, ZooError):
                logger.exception("a request could not be read")
            return _reply_to(error)
        self._open[id] = _OpenRequest(request)
        for job in jobs:
            self.engine.admit(job)
        return None

    def _jobs(self, id: RequestId, request: Request) -> list[Job]:
        parameters = request.parameters
        jobs: list[Job] = []
        for place, data in enumerate(request.images):
            x_CHW = prepare(decode_image(data, max_pixels=self.limits.max_pixels), self.spec.preprocessing)
            # Noise that a client could predict would void the guarantee: every image gets a key of its own from the OS.
            key = NoiseKey(root=secrets.randbits(64), job=secrets.randbits(64))
            if parameters.mode == "certify":
                smoothing = smoothing_of(parameters, self.limits, sigma=self.sigma)
                covered = self.spec.preprocessing.describe()
                jobs.append(Certification((id, place), x_CHW, smoothing=smoothing, key=key, input=covered))
            else:
                n = parameters.n or min(DRAWS_OF_A_PREDICTION, self.limits.max_n)
                alpha = parameters.alpha or self.limits.alpha
                noise = parameters.noise
                jobs.append(Prediction((id, place), x_CHW, sigma=self.sigma, n=n, alpha=alpha, key=key, noise=noise))
        return jobs

    def _forget(self, ids: Iterable[RequestId]) -> None:
        for id in list(ids):
            request = self._open.pop(id, None)
            if request is not None:
                self.engine.forget((id, place) for place in range(len(request.request.images)))


def fit_batch_size(base: BaseClassifier, spec: ModelSpec, *, seconds: float, largest: int) -> int:
    """The largest power of two, at most `largest`, whose forward pass takes at most about `seconds`.

    A step must stay short: a prediction that arrives during one waits for its end.
    """
    crop = spec.preprocessing.crop
    size = 1
    while True:
        noisy_BCHW = torch.full((size, 3, crop, crop), 0.5)
        base.classify(noisy_BCHW)  # the first pass of a shape pays for memory and kernel choice
        started = time.perf_counter()
        base.classify(noisy_BCHW)
        if size * 2 > largest or (time.perf_counter() - started) * 2 > seconds:
            return size
        size *= 2


def _reply_to(error: Exception) -> Reply:
    if isinstance(error, ZooError):
        return Reply(error.http_status, error_body(error.http_status, str(error), type=type(error).__name__))
    return SERVER_FAILED
