"""Retries of transient failures, as a generator without a socket or a clock, which its driver provides."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

import httpx

from zoo.download.retry import RetryPolicy, parse_retry_after
from zoo.errors import RequestError, ServerError, ServerUnavailableError
from zoo.host.untrusted_json import parse_json

WORKER_DIED = "Worker died"
RETRIED_STATUSES = (429, 502, 503)  # a retry would not change any other error, including 500


@dataclass(frozen=True, slots=True)
class Send:
    """Asks the driver to send the request and to return the response with its body read, or the connection error."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Asks the driver to wait for `seconds`."""

    seconds: float


Outcome = httpx.Response | httpx.RequestError | httpx.InvalidURL
Exchange = Generator[Send | Pause, Outcome | None, httpx.Response]


def exchange(url: str, *, retry: RetryPolicy, now: Callable[[], float], random: Callable[[], float]) -> Exchange:
    """The final response: an answer, or a refusal that a retry would not change.

    Raises: RequestError if the URL or a header is invalid; ServerUnavailableError if at every attempt the server was
    unreachable or overloaded, or its worker died.
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
    """The error object `{"code", "type", "message"}` of a response; None if the response is not an error.

    The body of a response with status 200 contains an error object if the server failed after the response had begun.
    """
    try:
        body = parse_json(response.content)
    except ValueError:
        body = None
    if isinstance(body, dict) and isinstance(body.get("code"), int):
        return body
    if response.status_code >= 400:
        return {"code": response.status_code, "type": "", "message": response.reason_phrase or "no reason given"}
    return None


def _transient_failure(outcome: Outcome, url: str) -> str | None:
    """The reason to retry; None if the outcome is final. Raises: the error of an outcome that a retry cannot fix."""
    if isinstance(outcome, httpx.UnsupportedProtocol | httpx.InvalidURL | httpx.LocalProtocolError):
        raise RequestError(
            f"{url!r} is not a URL of the form http://HOST:PORT/predictions/MODEL: {outcome}"
        ) from outcome
    if isinstance(outcome, httpx.ReadTimeout):
        raise ServerUnavailableError(f"no answer from {url}: it sent no data within this client's timeout") from outcome
    if isinstance(outcome, httpx.TransportError):
        return f"no answer from {url}: {str(outcome) or type(outcome).__name__}"
    if isinstance(outcome, Exception):
        raise ServerError(f"{url} sent a response that cannot be read: {outcome}") from outcome
    if outcome.is_success and not outcome.is_closed:  # a stream has begun
        return None
    problem = problem_in(outcome)
    if problem is None:
        return None
    is_transient = problem["code"] in RETRIED_STATUSES or WORKER_DIED in str(problem.get("message"))
    return f"the server answered {problem['code']}: {problem.get('message')}" if is_transient else None


def _retry_after(outcome: Outcome) -> float | None:
    """The seconds of the response's Retry-After header; None without a response or header."""
    return parse_retry_after(outcome.headers.get("Retry-After", "")) if isinstance(outcome, httpx.Response) else None
