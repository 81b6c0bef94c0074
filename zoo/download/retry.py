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

TRANSIENT_STATUSES = frozenset({408, 429, 500, 502, 503, 504})  # for downloads, which are safe to repeat


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """The number of retries after transient failures, and the waits between them; all times in seconds.

    max_retries: calls after the first call.
    initial_backoff, max_backoff: the wait before the first retry, and the limit up to which the wait doubles.
    jitter: random share of each backoff, in [0, 1]. It spreads the retries of clients that failed at the same time.
    max_wait: the longest single wait. If the server requests a longer wait, the call fails at once.
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
            raise RequestError(f"a retry policy needs numbers of at least 0 and a jitter of at most 1, got {self}")

    def wait(self, retry: int, *, retry_after: float | None, elapsed: float, chance: float) -> float | None:
        """Seconds to wait before a retry; None if the call must fail instead.

        Args:
            retry: The number of the retry, counted from 1.
            retry_after: The wait that the server requests, in seconds; None if it requests none. The wait is never
                shorter.
            elapsed: Seconds since the first call.
            chance: A random number, uniform in [0, 1).
        """
        if retry > self.max_retries:
            return None
        backoff = min(self.max_backoff, self.initial_backoff * 2.0 ** (retry - 1))
        random_part = self.jitter * chance * backoff
        wait = max(backoff - random_part, (retry_after or 0.0) + random_part)
        return wait if wait <= self.max_wait and elapsed + wait <= self.max_elapsed else None


DEFAULT_RETRY = RetryPolicy()
NO_RETRY = RetryPolicy(max_retries=0)
# A download may run for hours before its connection drops. Jitter is not needed: few clients retry at the same time.
DOWNLOAD_RETRY = RetryPolicy(initial_backoff=1.0, jitter=0.0, max_elapsed=math.inf)


@dataclass(frozen=True, slots=True, kw_only=True)
class TransientFailure:
    """A failure that a retry may cure; `retry_after` is the wait in seconds that the server requests, if any."""

    reason: str
    retry_after: float | None = None


def _report_nothing(_: str) -> None:
    """Discards the line, for callers that show no progress."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrier:
    """Calls functions under a retry policy.

    `report` receives one line of text before every wait. Callers also pass their own progress to it.
    """

    policy: RetryPolicy = DOWNLOAD_RETRY
    sleep: Callable[[float], None] = time.sleep
    report: Callable[[str], None] = _report_nothing

    def call(
        self, function: Callable[[], Result], *, transient: Callable[[Exception], TransientFailure | None]
    ) -> Result:
        """The function's result, retried while `transient` classifies its exception as a transient failure.

        Raises: an exception for which `transient` returns None, or the last exception when the policy allows no retry.
        """
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
    """The wait in seconds that a Retry-After header gives, as a number or a date; None if it gives neither."""
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(header).timestamp() - time.time()
        except (ValueError, OverflowError):
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None
