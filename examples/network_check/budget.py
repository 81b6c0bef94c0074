"""The time limit of a run."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

AGAIN_AFTER = 10.0


class OutOfTime(BaseException):
    """The time limit is reached. Not an Exception, like KeyboardInterrupt, so that no called function handles it."""


@dataclass(frozen=True, slots=True)
class Budget:
    """A time limit of `seconds` from now."""

    seconds: float
    started: float = field(default_factory=time.monotonic)

    @property
    def left(self) -> float:
        """The seconds left; negative after the limit."""
        return self.started + self.seconds - time.monotonic()

    @property
    def is_spent(self) -> bool:
        return self.left <= 0

    @property
    def cut_off(self) -> str:
        return f"cut off: the run's limit of {self.seconds:g} s was reached; run the check again to resume"

    @contextmanager
    def alarm(self) -> Iterator[None]:
        """Raises OutOfTime inside the block when the limit is reached; works in the main thread only.

        A request's timeout does not bound a slow download that never stops. The alarm repeats, because an exception
        raised inside a finalizer is lost.
        """

        def ring(*_: object) -> None:
            raise OutOfTime

        before = signal.signal(signal.SIGALRM, ring)
        try:
            signal.setitimer(signal.ITIMER_REAL, max(self.left, 0.001), AGAIN_AFTER)
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
