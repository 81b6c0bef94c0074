"""The time that a run may take."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

AGAIN_AFTER = 10.0


class OutOfTime(BaseException):
    """The time of the run is spent. Like KeyboardInterrupt it is no Exception, which a called function might handle."""


@dataclass(frozen=True, slots=True)
class Budget:
    """`seconds` from now on."""

    seconds: float
    started: float = field(default_factory=time.monotonic)

    @property
    def left(self) -> float:
        """Seconds, negative when it is spent."""
        return self.started + self.seconds - time.monotonic()

    @property
    def is_spent(self) -> bool:
        return self.left <= 0

    @property
    def cut_off(self) -> str:
        return f"cut off: the {self.seconds:g} s of this run were spent; run it again to go on"

    @contextmanager
    def alarm(self) -> Iterator[None]:
        """Raises OutOfTime in what runs inside when the time is spent; for the main thread, the only one with signals.

        No timeout of a request bounds a download that trickles. The alarm rings again, since an exception that is
        raised within a finalizer is lost.
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
