"""Several processes at one piece of work, as torchrun starts them; one process needs none of it.

Tensors that a training step exchanges are in `training/collectives.py`.
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

# A rank that is done waits for the others, and shares can take hours: gloo's own 30 minutes would end the run.
COLLECTIVE_TIMEOUT = timedelta(days=365)


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process's place among `world_size` equal ones. Every collective has to be called by all of them."""

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0

    @property
    def is_first(self) -> bool:
        """Whether this is the rank that writes the log, shows progress and reports."""
        return self.rank == 0

    def device_name(self, name: str) -> str:
        """The device that `--device NAME` means here: `auto` is one GPU a rank where a node shows several."""
        if name != "auto" or self.world_size == 1 or torch.cuda.device_count() < 2:
            return name
        return f"cuda:{self.local_rank % torch.cuda.device_count()}"

    def all_gather(self, value: T) -> list[T]:
        """The values of all ranks, in their order, on every rank. Collective.

        Raises: ZooError if a rank is gone.
        """
        if self.world_size == 1:
            return [value]
        values: list[T | None] = [None] * self.world_size
        with self.translating_lost_ranks():
            dist.all_gather_object(values, value)
        return cast(list[T], values)  # every place is filled

    @contextmanager
    def translating_lost_ranks(self) -> Iterator[None]:
        """Turns what a collective inside raises when a rank is gone into one sentence of the first rank.

        Raises: ZooError if a rank is gone.
        """
        try:
            yield
        except RuntimeError as error:
            if self.world_size == 1 or not (isinstance(error, dist.DistError) or "gloo" in str(error).lower()):
                raise
            gone = ZooError("another rank ended early: what was finished is kept, start all again")
            raise self.reported_once(gone) from error

    def reported_once(self, error: ZooError) -> Exception:
        """An error that all ranks met, to be raised by all: the first says why, the others end without a word."""
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
        """Waits until every rank is here. Collective."""
        self.all_gather(None)

    @contextmanager
    def failing_together(self) -> Iterator[None]:
        """A step that succeeds on all ranks or fails on all: an error inside on one is raised everywhere at the end,
        where all wait for each other. Collective.
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
        """The first rank of each node goes through before its others start: one downloads for all. Collective."""
        if self.local_rank > 0:
            self.barrier()
        try:
            yield
        finally:
            if self.local_rank == 0:
                self.barrier()


SINGLE_PROCESS = Ranks()


class _ReportedElsewhereError(Exception):
    """Ends a rank without a word: the first rank says why, or the user knows."""

    def __init__(self, exit_code: int) -> None:
        super().__init__(f"reported by the first rank, exit code {exit_code}")
        self.exit_code = exit_code


@contextmanager
def join_ranks() -> Iterator[Ranks]:
    """Joins the processes that torchrun started beside this one; for entry points only, since it reads the environment.

    An error that all ranks share leaves on the first; the others then exit silently with its code.
    Raises: ZooError if the ranks cannot reach each other.
    """
    ranks = _ranks_in(os.environ)
    if ranks.world_size > 1:
        try:
            dist.init_process_group(_backend(), timeout=COLLECTIVE_TIMEOUT)
        except (ValueError, RuntimeError) as error:
            raise ZooError(
                f"{ranks.world_size} ranks cannot reach each other ({error}): start with torchrun"
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
    """gloo carries objects and CPU tensors; gradients on GPUs go by NCCL."""
    return "cpu:gloo,cuda:nccl" if torch.cuda.is_available() and dist.is_nccl_available() else "gloo"


def _ranks_in(environment: Mapping[str, str]) -> Ranks:
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
    if "WORLD_SIZE" not in environment:
        return SINGLE_PROCESS
    try:
        return Ranks(*(int(environment[name]) for name in names))
    except (KeyError, ValueError) as error:
        raise RequestError(f"WORLD_SIZE is set, but {' and '.join(names)} are not all numbers: use torchrun") from error
