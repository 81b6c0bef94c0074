"""When a request is sent again, without a socket or a clock: whoever drives an exchange has both."""

from __future__ import annotations

import email.utils
import json
import math
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

import httpx

from zoo.errors import RequestError, ServerError, ServerUnavailableError

WORKER_DIED = "Worker died"
TEMPORARY = (429, 502, 503)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """How long a client goes on asking a server that is full, restarting or out of reach.

    At most `attempts` requests are sent, none later than `seconds` after the first. The pause before the next one
    doubles from `first_pause` to `longest_pause`, less a random part of up to half, so that clients that failed
    together do not return together. It is never shorter than the server's Retry-After.
    """

    attempts: int = 5
    seconds: float = 60.0
    first_pause: float = 0.25
    longest_pause: float = 8.0

    def __post_init__(self) -> None:
        if self.attempts < 1 or min(self.seconds, self.first_pause, self.longest_pause) < 0:
            raise RequestError(f"a client makes at least one attempt and waits no negative time, got {self}")

    def pause(self, attempt: int, *, retry_after: float, random: float) -> float:
        """Seconds between this attempt, counted from 1, and the next; `random` is uniform in [0, 1)."""
        backoff = min(self.longest_pause, self.first_pause * 2.0 ** (attempt - 1))
        return max(backoff * (1 - random / 2), retry_after + backoff * random / 2)


NO_RETRY = Retry(attempts=1)


@dataclass(frozen=True, slots=True)
class Send:
    """Asks the driver to send the request, and to tell the response, its body read, or what broke the connection."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Asks the driver to wait."""

    seconds: float


Outcome = httpx.Response | httpx.RequestError | httpx.InvalidURL
Exchange = Generator[Send | Pause, Outcome | None, httpx.Response]


def exchange(url: str, *, retry: Retry, now: Callable[[], float], random: Callable[[], float]) -> Exchange:
    """Returns the response that counts: an answer, or a refusal that asking again would not change.

    Raises: RequestError if the URL or a header is none; ServerUnavailableError where the server could not be reached,
    stayed full, or lost its worker at every attempt.
    """
    started = now()
    attempt = 1
    while True:
        outcome = yield Send()
        assert outcome is not None
        reason = _temporary_failure(outcome, url)
        if reason is None:
            assert isinstance(outcome, httpx.Response)
            return outcome
        pause = retry.pause(attempt, retry_after=_retry_after(outcome), random=random())
        if attempt == retry.attempts or now() - started + pause > retry.seconds:
            raise ServerUnavailableError(reason if attempt == 1 else f"{reason} (attempt {attempt})")
        yield Pause(pause)
        attempt += 1


def problem_in(response: httpx.Response) -> dict[str, Any] | None:
    """The error object that a response holds instead of an answer: `{"code", "type", "message"}`.

    A failure after the answer has begun stands in a body whose status was sent as 200.
    """
    try:
        body = json.loads(response.content)
    except ValueError:
        body = None
    if isinstance(body, dict) and isinstance(body.get("code"), int):
        return body
    if response.status_code >= 400:
        return {"code": response.status_code, "type": "", "message": response.reason_phrase or "no reason given"}
    return None


def _temporary_failure(outcome: Outcome, url: str) -> str | None:
    """Why it is worth asking again; None if it is not. Raises: what asking again cannot heal."""
    if isinstance(outcome, httpx.UnsupportedProtocol | httpx.InvalidURL | httpx.LocalProtocolError):
        raise RequestError(f"{url!r} is no URL of the form http://HOST:PORT/predictions/MODEL: {outcome}") from outcome
    if isinstance(outcome, httpx.ReadTimeout):
        raise ServerUnavailableError(
            f"no answer from {url}: it was silent for longer than this client waits"
        ) from outcome
    if isinstance(outcome, httpx.TransportError):
        return f"no answer from {url}: {str(outcome) or type(outcome).__name__}"
    if isinstance(outcome, Exception):
        raise ServerError(f"{url} answered with something that cannot be read: {outcome}") from outcome
    if outcome.is_success and not outcome.is_closed:  # a stream has begun
        return None
    problem = problem_in(outcome)
    if problem is None:
        return None
    is_temporary = problem["code"] in TEMPORARY or WORKER_DIED in str(problem.get("message"))
    return f"the server answered {problem['code']}: {problem.get('message')}" if is_temporary else None


def _retry_after(outcome: Outcome) -> float:
    """The seconds that the server asks to wait: a number, or a date by this machine's clock."""
    text = outcome.headers.get("Retry-After", "") if isinstance(outcome, httpx.Response) else ""
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(text).timestamp() - time.time()
        except ValueError:
            return 0.0
    return max(0.0, seconds) if math.isfinite(seconds) else 0.0
