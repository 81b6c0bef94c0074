"""When a request is sent again, without a socket or a clock: the driver of an exchange has both."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

import httpx

from zoo.download.retry import RetryPolicy, parse_retry_after
from zoo.errors import RequestError, ServerError, ServerUnavailableError

WORKER_DIED = "Worker died"
RETRIED_STATUSES = (429, 502, 503)  # any other one, a 500 too, a second try would answer alike


@dataclass(frozen=True, slots=True)
class Send:
    """Asks the driver to send the request, and to tell the response, its body read, or what broke the connection."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Asks the driver to wait."""

    seconds: float


Outcome = httpx.Response | httpx.RequestError | httpx.InvalidURL
Exchange = Generator[Send | Pause, Outcome | None, httpx.Response]


def exchange(url: str, *, retry: RetryPolicy, now: Callable[[], float], random: Callable[[], float]) -> Exchange:
    """Returns the response that counts: an answer, or a refusal that asking again would not change.

    Raises: RequestError if the URL or a header is none; ServerUnavailableError where the server could not be reached,
    stayed full, or lost its worker at every attempt.
    """
    started = now()
    attempt = 1
    while True:
        outcome = yield Send()
        assert outcome is not None
        reason = _transient_failure(outcome, url)
        if reason is None:
            assert isinstance(outcome, httpx.Response)
            return outcome
        pause = retry.wait(attempt, retry_after=_retry_after(outcome), elapsed=now() - started, chance=random())
        if pause is None:
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


def _transient_failure(outcome: Outcome, url: str) -> str | None:
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
    is_transient = problem["code"] in RETRIED_STATUSES or WORKER_DIED in str(problem.get("message"))
    return f"the server answered {problem['code']}: {problem.get('message')}" if is_transient else None


def _retry_after(outcome: Outcome) -> float | None:
    """Seconds that the server asks to wait, None if it does not say."""
    return parse_retry_after(outcome.headers.get("Retry-After", "")) if isinstance(outcome, httpx.Response) else None
