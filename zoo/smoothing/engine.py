"""Continuous batching: every step is one full batch of draws, shared by all open jobs."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

from zoo.errors import CertificationError
from zoo.smoothing.certificate import Certificate
from zoo.smoothing.jobs import Job
from zoo.smoothing.prediction import Votes
from zoo.smoothing.sampler import NoisySampler

SHARE_OF_OLDEST = 0.25


@dataclass(frozen=True, slots=True)
class Finished:
    """The answer to the job with this id."""

    id: Hashable
    result: Certificate | Votes


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

    def step(self) -> list[Finished]:
        """Spends one batch of draws on the open jobs; returns and closes those that are finished."""
        jobs = list(self._open.values())
        shares = allot([job.num_remaining for job in jobs], self.sampler.options.batch_size)
        taken = [(job, draws) for job, share in zip(jobs, shares, strict=True) if share for draws in job.take(share)]
        votes = self.sampler.votes([draws for _, draws in taken])
        for (job, draws), classes_M in zip(taken, votes, strict=True):
            job.record(draws, classes_M)
        backend = self.sampler.backend
        finished = [Finished(job.id, job.result(backend=backend)) for job in jobs if job.num_remaining == 0]
        self.forget(each.id for each in finished)
        return finished


def allot(num_remaining: Sequence[int], budget: int) -> list[int]:
    """How many of `budget` draws each job gets, the oldest job first in the list.

    A quarter, at least one draw, goes to the oldest jobs, so that none starves; the rest to those with the least
    remaining, so that a short prediction does not wait behind a long certificate. Equal shares make every job slow.
    Nothing is left over while a job wants draws.
    """
    shares = [0] * len(num_remaining)
    oldest_first = range(len(num_remaining))
    shortest_first = sorted(oldest_first, key=lambda index: num_remaining[index])
    reserved = max(1, int(budget * SHARE_OF_OLDEST))
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
