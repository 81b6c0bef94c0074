"""Work that is shared by several processes, which torchrun starts; a single process needs no setup.

`training/collectives.py` contains the collective operations on the tensors of a training step.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar, cast

import torch
import torch.distributed as dist

from zoo.errors import InterruptionError, RequestError, ZooError

T = TypeVar("T")

# A rank that finishes early waits for the others, possibly for hours: gloo's default of 30 minutes would end the run.
COLLECTIVE_TIMEOUT = timedelta(days=365)


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process's rank among `world_size` equal processes. All ranks must call every collective."""

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0

    @property
    def is_first(self) -> bool:
        """Whether this rank writes the log, shows progress and reports errors."""
        return self.rank == 0

    def device_name(self, name: str) -> str:
        """The device for `--device NAME`; `auto` assigns one GPU per rank on a node with several GPUs."""
        if name != "auto" or self.world_size == 1 or torch.cuda.device_count() < 2:
            return name
        return f"cuda:{self.local_rank % torch.cuda.device_count()}"

    def all_gather(self, value: T) -> list[T]:
        """The values of all ranks in rank order, on every rank. Collective.

        Raises: ZooError if a rank has ended.
        """
        if self.world_size == 1:
            return [value]
        values: list[T | None] = [None] * self.world_size
        with self.translating_lost_ranks():
            dist.all_gather_object(values, value)
        return cast(list[T], values)  # the gather filled every place

    @contextmanager
    def translating_lost_ranks(self) -> Iterator[None]:
        """Translates the error of a collective whose rank has ended into one error that the first rank reports.

        Raises: ZooError if a rank has ended.
        """
        try:
            yield
        except RuntimeError as error:
            if self.world_size == 1 or not (isinstance(error, dist.DistError) or "gloo" in str(error).lower()):
                raise
            lost_rank = ZooError("another rank ended early: finished work is kept, restart all ranks")
            raise self.reported_once(lost_rank) from error

    def reported_once(self, error: ZooError) -> Exception:
        """The exception for an error that all ranks raise: the first rank reports it, the others exit silently."""
        return error if self.is_first else _ReportedElsewhereError(error.exit_code)

    def broadcast(self, value: T) -> T:
        """The first rank's value, on every rank. Collective."""
        if self.world_size == 1:
            return value
        values = [value]
        with self.translating_lost_ranks():
            dist.broadcast_object_list(values, src=0)
        return values[0]

    def barrier(self) -> None:
        """Waits until every rank has called it. Collective."""
        self.all_gather(None)

    @contextmanager
    def failing_together(self) -> Iterator[None]:
        """A step that succeeds on all ranks or fails on all. Collective.

        The ranks wait for each other at the end of the step. An error on one rank is then raised on all ranks.
        """
        error: ZooError | None = None
        try:
            yield
        except ZooError as caught:
            error = caught
        failures = self.all_gather(None if error is None else (str(error), error.exit_code))
        for rank, failure in enumerate(failures):
            if failure is None:
                continue
            message, code = failure
            if not self.is_first:
                raise _ReportedElsewhereError(code) from error
            if error is not None:
                raise error
            raise (RequestError if code == RequestError.exit_code else ZooError)(f"rank {rank}: {message}")

    @contextmanager
    def local_first_rank_first(self) -> Iterator[None]:
        """Runs the block on the first rank of each node before the node's other ranks. Collective.

        One rank can then download for all ranks of its node.
        """
        if self.local_rank > 0:
            self.barrier()
        try:
            yield
        finally:
            if self.local_rank == 0:
                self.barrier()


SINGLE_PROCESS = Ranks()


class _ReportedElsewhereError(Exception):
    """Ends a rank silently, because the first rank reports the error."""

    def __init__(self, exit_code: int) -> None:
        super().__init__(f"reported by the first rank, exit code {exit_code}")
        self.exit_code = exit_code


@contextmanager
def join_ranks() -> Iterator[Ranks]:
    """Joins the other processes that torchrun started; for entry points only, since it reads the environment.

    The first rank raises an error that all ranks share. The other ranks exit silently with the error's exit code.
    Raises: ZooError if the ranks cannot reach each other.
    """
    ranks = _ranks_in(os.environ)
    if ranks.world_size > 1:
        try:
            dist.init_process_group(_backend(), timeout=COLLECTIVE_TIMEOUT)
        except (ValueError, RuntimeError) as error:
            raise ZooError(
                f"{ranks.world_size} ranks cannot reach each other ({error}): start them with torchrun"
            ) from error
    try:
        yield ranks
    except _ReportedElsewhereError as error:
        raise SystemExit(error.exit_code) from error
    except (InterruptionError, KeyboardInterrupt) as error:  # Ctrl-C reaches every rank
        if ranks.is_first:
            raise
        raise SystemExit(InterruptionError.exit_code) from error
    finally:
        if ranks.world_size > 1:
            dist.destroy_process_group()


def _backend() -> str:
    """The communication backend: gloo for objects and CPU tensors, NCCL for gradients on GPUs where it is available."""
    return "cpu:gloo,cuda:nccl" if torch.cuda.is_available() and dist.is_nccl_available() else "gloo"


def _ranks_in(environment: Mapping[str, str]) -> Ranks:
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
    if "WORLD_SIZE" not in environment:
        return SINGLE_PROCESS
    try:
        return Ranks(*(int(environment[name]) for name in names))
    except (KeyError, ValueError) as error:
        raise RequestError(
            f"WORLD_SIZE is set, but {' and '.join(names)} are not all integers: use torchrun"
        ) from error
