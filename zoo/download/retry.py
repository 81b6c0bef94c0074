"""Retrying transient failures with exponential backoff: the policy, and a loop that follows it."""

from __future__ import annotations

import email.utils
import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from zoo.errors import RequestError

Result = TypeVar("Result")

TRANSIENT_STATUSES = frozenset({408, 429, 500, 502, 503, 504})  # of a download, which is safe to repeat


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often a call that failed transiently is made again, and after which waits; all times in seconds.

    max_retries: calls after the first one.
    initial_backoff, max_backoff: the wait before the first retry, and the cap up to which it doubles.
    jitter: share of each backoff, in [0, 1], that is random, so that clients that failed together do not return
        together.
    max_wait: the longest single wait. If the server asks for a longer one, the call fails at once.
    max_elapsed: no retry starts later than this after the first call.

    Raises: RequestError if a value is out of range.
    """

    max_retries: int = 4
    initial_backoff: float = 0.25
    max_backoff: float = 8.0
    jitter: float = 0.5
    max_wait: float = 60.0
    max_elapsed: float = 60.0

    def __post_init__(self) -> None:
        times = (self.initial_backoff, self.max_backoff, self.max_wait, self.max_elapsed)
        if not (self.max_retries >= 0 and all(seconds >= 0 for seconds in times) and 0 <= self.jitter <= 1):
            raise RequestError(f"a retry policy takes no negative number, and a jitter of at most 1; got {self}")

    def wait(self, retry: int, *, retry_after: float | None, elapsed: float, chance: float) -> float | None:
        """Seconds to wait before a retry; None if the call has to fail instead.

        retry: number of the retry, counted from 1.
        retry_after: seconds that the server asks to wait, None if it does not say. The wait is never shorter.
        elapsed: seconds since the first call.
        chance: uniform in [0, 1).
        """
        if retry > self.max_retries:
            return None
        backoff = min(self.max_backoff, self.initial_backoff * 2.0 ** (retry - 1))
        random_part = self.jitter * chance * backoff
        wait = max(backoff - random_part, (retry_after or 0.0) + random_part)
        return wait if wait <= self.max_wait and elapsed + wait <= self.max_elapsed else None


DEFAULT_RETRY = RetryPolicy()
NO_RETRY = RetryPolicy(max_retries=0)
# A download may run for hours before its connection drops, and no crowd of clients returns with it.
DOWNLOAD_RETRY = RetryPolicy(initial_backoff=1.0, jitter=0.0, max_elapsed=math.inf)


@dataclass(frozen=True, slots=True, kw_only=True)
class TransientFailure:
    """A failure that a retry may cure; `retry_after` is the wait in seconds that the server asks for, if any."""

    reason: str
    retry_after: float | None = None


def _report_nothing(_: str) -> None:
    """For callers that show no progress."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrier:
    """Makes calls under a retry policy.

    `report` receives one line of text before every wait, and callers pass it their own progress.
    """

    policy: RetryPolicy = DOWNLOAD_RETRY
    sleep: Callable[[float], None] = time.sleep
    report: Callable[[str], None] = _report_nothing

    def call(
        self, function: Callable[[], Result], *, transient: Callable[[Exception], TransientFailure | None]
    ) -> Result:
        """The function's result. An exception for which `transient` returns None is raised, as is the last one."""
        started = time.monotonic()
        retry = 0
        while True:
            try:
                return function()
            except Exception as error:
                failure, retry = transient(error), retry + 1
                if failure is None:
                    raise
                elapsed = time.monotonic() - started
                wait = self.policy.wait(retry, retry_after=failure.retry_after, elapsed=elapsed, chance=random.random())
                if wait is None:
                    raise
            self.report(f"{failure.reason}; retrying in {wait:g} s ({retry} of {self.policy.max_retries})")
            self.sleep(wait)


DEFAULT_RETRIER = Retrier()


def parse_retry_after(header: str) -> float | None:
    """Seconds from now that a Retry-After header names, as a number or as a date; None if it names none."""
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(header).timestamp() - time.time()
        except (ValueError, OverflowError):
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None
