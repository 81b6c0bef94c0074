"""The state of a request: first its images are decoded, then there are jobs and results."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field

from torch import Tensor

from serving.protocol import Request, Target
from serving.service.admission import Question
from serving.service.replies import ResponseForm
from zoo.smoothing import Certificate
from zoo.smoothing.jobs import Certification, Job, Result


@dataclass(frozen=True, slots=True)
class DecodingRequest:
    """A request whose images are being decoded to tensors `x_CHW`; `received_at` is on the service's clock."""

    request: Request
    target: Target
    images: Future[list[Tensor]]
    received_at: float

    @property
    def cut_at(self) -> float | None:
        """The time of the deadline on the service's clock."""
        deadline_ms = self.request.parameters.deadline_ms
        return None if deadline_ms is None else self.received_at + deadline_ms / 1000


@dataclass(slots=True)
class OpenRequest:
    """The questions of a request, one per image, and the results so far, by the image's place.

    `form`: the form of the response. `cut_at`: the time of the deadline on the service's clock. `cut`: the places that
    the deadline cut off.
    """

    request: Request
    questions: list[Question]
    form: ResponseForm
    admitted_at: float
    cut_at: float | None
    results: dict[int, Result] = field(default_factory=dict)
    cut: set[int] = field(default_factory=set)
    last_shown: Certificate | None = None

    @property
    def is_answered(self) -> bool:
        return len(self.results) == len(self.questions)

    @property
    def is_stream(self) -> bool:
        return self.request.parameters.stream

    @property
    def stopping(self) -> str | None:
        """The stopping rule that observers receive; None for a prediction or a label set."""
        parameters = self.request.parameters
        return parameters.stopping if parameters.mode == "certify" else None

    @property
    def num_draws(self) -> int:
        """The number of draws so far for all images."""
        return sum(question.job.num_taken for question in self.questions)

    def job_ids(self) -> Iterator[Hashable]:
        return (question.job.id for question in self.questions)

    def unanswered(self) -> Iterator[tuple[int, Job]]:
        """The places without a result, and their jobs."""
        return ((place, question.job) for place, question in enumerate(self.questions) if place not in self.results)

    def cut_off(self, *, backend: str) -> None:
        """Sets the result of each unfinished image to the certificate that its draws so far prove."""
        for place, job in list(self.unanswered()):
            assert isinstance(job, Certification)  # predictions have no deadline
            self.results[place] = job.so_far(backend=backend)
            self.cut.add(place)

    def news(self, *, backend: str) -> Certificate | None:
        """The certificate that a stream's draws prove so far; None if it has not changed since the last call."""
        _, job = next(self.unanswered())
        assert isinstance(job, Certification)  # predictions are not streamed
        certificate = job.so_far(backend=backend)
        if certificate.n == 0 or certificate == self.last_shown:
            return None
        self.last_shown = certificate
        return certificate
