"""Continuous batching: every step is one full batch of draws, shared by all open jobs."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

from zoo.errors import CertificationError
from zoo.smoothing.backends import Classes
from zoo.smoothing.certificate import Certificate
from zoo.smoothing.jobs import Job
from zoo.smoothing.noise import Draws
from zoo.smoothing.prediction import Votes
from zoo.smoothing.sampler import NoisySampler

SHARE_OF_OLDEST = 0.25


@dataclass(frozen=True, slots=True)
class Finished:
    """The answer to the job with this id."""

    id: Hashable
    result: Certificate | Votes


@dataclass(frozen=True, slots=True)
class Failed:
    """Why there will be no answer to the job with this id."""

    id: Hashable
    error: Exception


class CertificationEngine:
    """Takes jobs in at any time; each `step()` spends one batch on them and returns those that are finished.

    Which jobs share a batch changes when an answer comes, never what it is: a job's noise is keyed by the job.
    """

    def __init__(self, sampler: NoisySampler) -> None:
        self.sampler = sampler
        self._open: dict[Hashable, Job] = {}

    @property
    def num_open(self) -> int:
        return len(self._open)

    @property
    def num_remaining(self) -> int:
        """Draws that all open jobs now want."""
        return sum(job.num_remaining for job in self._open.values())

    def admit(self, job: Job) -> None:
        """Opens a job. Raises: CertificationError if its id is open already or its shape is not that of the others."""
        if job.id in self._open:
            raise CertificationError(f"a job with id {job.id!r} is open already")
        for other in self._open.values():
            if other.x_CHW.shape != job.x_CHW.shape:
                raise CertificationError(f"the image has shape {job.x_CHW.shape}, open jobs have {other.x_CHW.shape}")
            break
        self._open[job.id] = job

    def forget(self, ids: Iterable[Hashable]) -> None:
        """Drops jobs whose answer nobody waits for any more; unknown ids are ignored."""
        for id in ids:
            self._open.pop(id, None)

    def step(self, budget: int | None = None) -> list[Finished]:
        """Spends one batch of draws, or `budget` of them, on the open jobs; returns and closes those that are finished.

        Raises: what the base classifier raises; the engine is of no further use then.
        """
        taken = self._take(budget)
        for (job, draws), classes_M in zip(taken, self.sampler.votes([draws for _, draws in taken]), strict=True):
            job.record(draws, classes_M)
        return self._close_finished()

    def step_apart(self, budget: int | None = None) -> tuple[list[Finished], list[Failed]]:
        """As `step`, but a failure closes the jobs alone that it is of, and is returned.

        After one, the draws of each job are voted on apart from the others: an image whose logits are not finite costs
        no other one its answer.
        """
        taken = self._take(budget)
        failed: dict[Hashable, Exception] = {}
        for (job, draws), classes_M in zip(taken, self._votes_apart([draws for _, draws in taken]), strict=True):
            if isinstance(classes_M, Exception):
                failed.setdefault(job.id, classes_M)
            elif job.id not in failed:
                job.record(draws, classes_M)
        self.forget(failed)
        return self._close_finished(), [Failed(id, error) for id, error in failed.items()]

    def _take(self, budget: int | None) -> list[tuple[Job, Draws]]:
        jobs = list(self._open.values())
        budget = self.sampler.options.batch_size if budget is None else budget
        expected = [job.num_expected for job in jobs]
        shares = allot([job.num_remaining for job in jobs], budget, num_expected=expected)
        if self.sampler.base.depends_on_batch_shape:  # a batch costs the same however full it is
            useful = [job.num_useful - share for job, share in zip(jobs, shares, strict=True)]
            early = allot(useful, budget - sum(shares), num_expected=expected)
            shares = [sum(both) for both in zip(shares, early, strict=True)]
        return [(job, draws) for job, share in zip(jobs, shares, strict=True) if share for draws in job.take(share)]

    def _votes_apart(self, draws: Sequence[Draws]) -> Sequence[Classes | Exception]:
        try:
            return self.sampler.votes(draws)
        except Exception:  # of one of them, perhaps
            return [self._votes_alone(each) for each in draws]

    def _votes_alone(self, draws: Draws) -> Classes | Exception:
        try:
            (classes_M,) = self.sampler.votes([draws])
        except Exception as error:
            return error
        return classes_M

    def _close_finished(self) -> list[Finished]:
        backend = self.sampler.backend
        done = [job for job in self._open.values() if job.num_remaining == 0]
        self.forget(job.id for job in done)
        return [Finished(job.id, job.result(backend=backend)) for job in done]


def allot(num_remaining: Sequence[int], budget: int, *, num_expected: Sequence[int] | None = None) -> list[int]:
    """How many of `budget` draws each job gets, the oldest job first in the list.

    A quarter, at least one draw, goes to the oldest jobs, so that none starves; the rest to those of which the least is
    expected, `num_remaining` unless given, so that a short prediction does not wait behind a long certificate. Equal
    shares make every job slow. Nothing is left over while a job wants draws.
    """
    shares = [0] * len(num_remaining)
    oldest_first = range(len(num_remaining))
    lengths = num_remaining if num_expected is None else num_expected
    shortest_first = sorted(oldest_first, key=lambda index: lengths[index])
    reserved = min(budget, max(1, int(budget * SHARE_OF_OLDEST)))
    for order, amount in (
        (oldest_first, reserved),
        (shortest_first, budget - reserved),
        (oldest_first, budget),
    ):
        left = min(amount, budget - sum(shares))
        for index in order:
            share = min(num_remaining[index] - shares[index], left)
            shares[index] += share
            left -= share
    return shares
