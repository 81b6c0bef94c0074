"""Ranks that are threads of this process, for tests of what several processes do together."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from training.distributed import Ranks
from zoo.errors import ZooError


class Meeting:
    """Where the threads exchange their values."""

    def __init__(self, world_size: int) -> None:
        self.given: list[list[Any]] = [[] for _ in range(world_size)]
        self.gone: set[int] = set()
        self.changed = threading.Condition()

    def exchange(self, rank: int, value: Any) -> list[Any]:
        """The values of all ranks. A rank that is gone is met as gloo meets it, by an error."""
        with self.changed:
            turn = len(self.given[rank])
            self.given[rank].append(value)
            self.changed.notify_all()
            self.changed.wait_for(lambda: not self._lack(turn) or self._lack(turn) & self.gone, timeout=120)
            if self._lack(turn):
                raise ZooError("another rank ended early")
            return [values[turn] for values in self.given]

    def leave(self, rank: int) -> None:
        with self.changed:
            self.gone.add(rank)
            self.changed.notify_all()

    def _lack(self, turn: int) -> set[int]:
        return {rank for rank, values in enumerate(self.given) if len(values) <= turn}


@dataclass(frozen=True)
class ThreadRanks(Ranks):
    """A rank that is a thread."""

    meeting: Meeting | None = None

    def all_gather(self, value: Any) -> list[Any]:
        assert self.meeting is not None
        return self.meeting.exchange(self.rank, value)


def in_threads(world_size: int, work: Callable[[Ranks], Any]) -> list[Any]:
    """What `work` returns, or the error that it raises, on each of `world_size` ranks."""
    meeting = Meeting(world_size)
    results: list[Any] = [None] * world_size

    def run(rank: int) -> None:
        try:
            results[rank] = work(ThreadRanks(rank=rank, world_size=world_size, local_rank=rank, meeting=meeting))
        except BaseException as error:
            results[rank] = error
        finally:
            meeting.leave(rank)

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(world_size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results
