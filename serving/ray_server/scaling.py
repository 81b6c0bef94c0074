"""How many replicas the open draws need."""

from __future__ import annotations

import math
from dataclasses import dataclass

from zoo.errors import RequestError

SECONDS_OF_WORK = 2.0  # per replica: with more open draws than it makes in this time, another replica shortens the wait
UP_SECONDS = 1.0
DOWN_SECONDS = 20.0  # a start costs some seconds of processor time


@dataclass(frozen=True, slots=True)
class Bounds:
    """The least and the largest number of replicas of a version."""

    least: int = 1
    most: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.least <= self.most:
            raise RequestError(
                f"--replicas must be at least 1 and at most --max-replicas, got {self.least} and {self.most}"
            )


class Scaling:
    """The number of replicas that a version should have, from its open draws. Times are in seconds, on any clock."""

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self._enough_at: float | None = None
        self._needed_at: float | None = None

    def target(self, num_replicas: int, *, seconds_of_work: float, now: float) -> int:
        """The number of replicas from now on.

        More are started when the need for them has lasted a second. One is given up when it has not been needed for
        twenty seconds; the next one after twenty more.

        Args:
            num_replicas: the replicas that exist or are being started.
            seconds_of_work: the time in which one replica would make all open draws.
            now: the present time.
        """
        least, most = self.bounds.least, self.bounds.most
        if not least <= num_replicas <= most:
            return min(max(num_replicas, least), most)
        needed = min(max(math.ceil(seconds_of_work / SECONDS_OF_WORK), least), most)
        self._enough_at = now if needed <= num_replicas or self._enough_at is None else self._enough_at
        self._needed_at = now if needed >= num_replicas or self._needed_at is None else self._needed_at
        if now - self._enough_at >= UP_SECONDS:
            self._enough_at = now
            return needed
        if now - self._needed_at >= DOWN_SECONDS:
            self._needed_at = now
            return num_replicas - 1
        return num_replicas
