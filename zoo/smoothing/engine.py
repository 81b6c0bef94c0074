"""Continuous batching: every step is one full batch of draws, shared by all open jobs."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

from zoo.errors import CertificationError
from zoo.smoothing.enqueued_votes import EnqueuedVotes, Outputs
from zoo.smoothing.jobs import Job, Result
from zoo.smoothing.noise import Draws
from zoo.smoothing.sampler import NoisySampler

SHARE_OF_OLDEST = 0.25


@dataclass(frozen=True, slots=True)
class Finished:
    """The answer to the job `id`."""

    id: Hashable
    result: Result


@dataclass(frozen=True, slots=True)
class Failed:
    """The error that closed the job `id` without an answer."""

    id: Hashable
    error: Exception


@dataclass(frozen=True, slots=True)
class _Batch:
    """The draws of a step, each with its job, and their votes, which the engine has not read.

    `backend` is its name when the batch was enqueued. A later batch, whose memory runs out, changes the name.
    """

    taken: Sequence[tuple[Job, Draws]]
    votes: EnqueuedVotes
    backend: str


class CertificationEngine:
    """Accepts jobs at any time; each `step()` spends one batch on the open jobs and returns the finished ones.

    The jobs that share a batch affect when an answer is ready, never the answer: each job has its own noise key.

    On a GPU, `step()` returns before the votes of its batch are computed if further draws follow and their number does
    not depend on these votes. The next step then enqueues its own batch before it reads them. No step draws more, less
    or in another order than it would if every step read its votes.
    """

    def __init__(self, sampler: NoisySampler) -> None:
        self.sampler = sampler
        self._open: dict[Hashable, Job] = {}
        self._unread: list[_Batch] = []

    @property
    def num_open(self) -> int:
        """Number of open jobs."""
        return len(self._open)

    @property
    def num_remaining(self) -> int:
        """Total number of draws that the open jobs currently need."""
        return sum(job.num_remaining for job in self._open.values())

    def admit(self, job: Job) -> None:
        """Adds a job.

        Raises: CertificationError if the id is already open or the image's shape differs from the other jobs'.
        """
        if job.id in self._open:
            raise CertificationError(f"a job with id {job.id!r} is already open")
        for other in self._open.values():
            if other.x_CHW.shape != job.x_CHW.shape:
                raise CertificationError(
                    f"the image must have the shape of the open jobs, {other.x_CHW.shape}, got {job.x_CHW.shape}"
                )
            break
        self._open[job.id] = job

    def forget(self, ids: Iterable[Hashable]) -> None:
        """Drops jobs whose callers no longer wait for an answer; unknown ids are ignored."""
        for id in ids:
            self._open.pop(id, None)

    def step(self, budget: int | None = None) -> list[Finished]:
        """Spends one batch of draws, or `budget` draws, on the open jobs; closes and returns the finished jobs.

        A job is finished when its votes are read, which on a GPU may be a step after that of its last draws.
        Raises: any error of the base classifier. The engine cannot be used after such an error.
        """
        taken = self._take(budget)
        votes = self.sampler.enqueue([draws for _, draws in taken])
        self._unread.append(_Batch(taken, votes, self.sampler.backend))
        is_left = self.sampler.computes_ahead and self.num_remaining > 0
        is_left = is_left and not any(job.adapts_to(draws) for job, draws in taken)
        return self._read_all_but(1 if is_left else 0)

    def step_apart(self, budget: int | None = None) -> tuple[list[Finished], list[Failed]]:
        """Spends one batch as `step` does, but an error closes only the jobs that caused it.

        Returns the finished jobs and the failed jobs. If a batch fails, the draws of each job are classified
        separately. An image whose logits are not finite therefore does not fail the other images.

        The votes of the batch are read, also on a GPU: a batch that is enqueued ahead would delay the jobs that are
        admitted next.
        """
        finished = self._read_all_but(0)
        taken = self._take(budget)
        failed: dict[Hashable, Exception] = {}
        for (job, draws), outputs_M in zip(taken, self._votes_apart([draws for _, draws in taken]), strict=True):
            if isinstance(outputs_M, Exception):
                failed.setdefault(job.id, outputs_M)
            elif job.id not in failed:
                job.record(draws, outputs_M)
        self.forget(failed)
        finished += self._close_finished(self.sampler.backend)
        return finished, [Failed(id, error) for id, error in failed.items()]

    def _take(self, budget: int | None) -> list[tuple[Job, Draws]]:
        jobs = list(self._open.values())
        budget = self.sampler.options.batch_size if budget is None else budget
        expected = [job.num_expected for job in jobs]
        shares = allot([job.num_remaining for job in jobs], budget, num_expected=expected)
        if self.sampler.base.depends_on_batch_shape:  # a partly filled batch costs the same as a full one
            useful = [job.num_useful - share for job, share in zip(jobs, shares, strict=True)]
            extras = allot(useful, budget - sum(shares), num_expected=expected)
            shares = [share + extra for share, extra in zip(shares, extras, strict=True)]
        return [(job, draws) for job, share in zip(jobs, shares, strict=True) if share for draws in job.take(share)]

    def _votes_apart(self, draws: Sequence[Draws]) -> Sequence[Outputs | Exception]:
        try:
            return self.sampler.votes(draws)
        except Exception:  # the draws of a single job may have caused it
            return [self._votes_of_one(job_draws) for job_draws in draws]

    def _votes_of_one(self, draws: Draws) -> Outputs | Exception:
        try:
            (outputs_M,) = self.sampler.votes([draws])
        except Exception as error:
            return error
        return outputs_M

    def _read_all_but(self, num_left: int) -> list[Finished]:
        """Reads the votes of the unread batches except for the last `num_left`; closes and returns the finished jobs.

        The host waits once, for the last batch that it reads.
        """
        finished, num_read = [], len(self._unread) - num_left
        for batch in self._unread[:num_read][-1:]:
            batch.votes.wait()
        for _ in range(num_read):
            batch = self._unread.pop(0)
            for (job, draws), outputs_M in zip(batch.taken, batch.votes.read(), strict=True):
                job.record(draws, outputs_M)
            finished += self._close_finished(batch.backend)
        return finished

    def _close_finished(self, backend: str) -> list[Finished]:
        waiting = {job for batch in self._unread for job, _ in batch.taken}
        finished = [job for job in self._open.values() if job.num_remaining == 0 and job not in waiting]
        self.forget(job.id for job in finished)
        return [Finished(job.id, job.result(backend=backend)) for job in finished]


def allot(num_remaining: Sequence[int], budget: int, *, num_expected: Sequence[int] | None = None) -> list[int]:
    """The number of draws for each job, out of `budget`; all lists are ordered from the oldest job to the newest.

    A quarter of the budget, at least one draw, goes to the oldest jobs, so that no job starves. The rest goes to the
    jobs with the smallest `num_expected` (by default `num_remaining`), so that a short prediction does not wait
    behind a long certificate. Equal shares would make every job slow. The whole budget is used while any job needs
    draws.
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
        unspent = min(amount, budget - sum(shares))
        for index in order:
            share = min(num_remaining[index] - shares[index], unspent)
            shares[index] += share
            unspent -= share
    return shares
