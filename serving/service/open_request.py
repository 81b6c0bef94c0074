"""A request that is being drawn for: what is known of its images so far."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field

from serving.protocol import Request
from serving.service.admission import Question
from zoo.smoothing import Certificate, Votes
from zoo.smoothing.jobs import Certification, Job


@dataclass(slots=True)
class OpenRequest:
    """The questions of a request, one an image, and the results that there are, by the image's place.

    `cut_at`: when its deadline is reached, on the service's clock. `cut`: the places whose drawing it ended.
    """

    request: Request
    questions: list[Question]
    admitted_at: float
    cut_at: float | None
    results: dict[int, Certificate | Votes] = field(default_factory=dict)
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
        """As observers are told."""
        parameters = self.request.parameters
        return parameters.stopping if parameters.mode == "certify" else None

    @property
    def num_draws(self) -> int:
        """Made so far for all its images."""
        return sum(question.job.num_taken for question in self.questions)

    def job_ids(self) -> Iterator[Hashable]:
        return (question.job.id for question in self.questions)

    def unanswered(self) -> Iterator[tuple[int, Job]]:
        """The places without a result, and their jobs."""
        return ((at, each.job) for at, each in enumerate(self.questions) if at not in self.results)

    def cut_off(self, *, backend: str) -> None:
        """Takes what the draws so far prove for the images that are not finished."""
        for place, job in list(self.unanswered()):
            assert isinstance(job, Certification)  # nothing else may have a deadline
            self.results[place] = job.so_far(backend=backend)
            self.cut.add(place)

    def news(self, *, backend: str) -> Certificate | None:
        """What the draws of a streaming request prove so far, if there is something to tell that was not told yet."""
        _, job = next(self.unanswered())
        assert isinstance(job, Certification)  # nothing else is streamed
        certificate = job.so_far(backend=backend)
        if certificate.n == 0 or certificate == self.last_shown:
            return None
        self.last_shown = certificate
        return certificate
