"""How often, and after which waits, a call that failed for a passing reason is made again."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Passing:
    """A reason of failure that may be gone in a while; `wait` is how many seconds the other side asks for, if any."""

    what: str
    wait: float | None = None


def _say_nothing(_: str) -> None:
    """For callers that show no progress."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """At most `num_retries` further calls, after waits that double from `first_wait` seconds.

    What the other side asks for is waited instead, unless it is longer than `longest_wait`: then the call fails at
    once. `tell` is told before every wait, and of other things that take long.
    """

    num_retries: int = 4
    first_wait: float = 1.0
    longest_wait: float = 60.0
    sleep: Callable[[float], None] = time.sleep
    tell: Callable[[str], None] = _say_nothing

    def keep_trying(self, call: Callable[[], Result], *, reason: Callable[[Exception], Passing | None]) -> Result:
        """What the call returns in the end. `reason` tells whether a failure is a passing one; any other is raised."""
        for retry in range(self.num_retries):
            try:
                return call()
            except Exception as error:
                passing = reason(error)
                if passing is None:
                    raise
                wait = self.first_wait * 2**retry if passing.wait is None else passing.wait
                if wait > self.longest_wait:
                    raise
                self.tell(f"{passing.what}: trying again in {wait:g} s ({retry + 1} of {self.num_retries})")
                self.sleep(wait)
        return call()


USUAL = Patience()
