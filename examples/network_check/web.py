"""Plain HTTP requests: the headers of an address, the text of a page."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import httpx

from examples.network_check.record import FailedCheckError
from zoo.download.retry import TRANSIENT_STATUSES, Retrier, TransientFailure, parse_retry_after

TIMEOUT = httpx.Timeout(10.0, read=30.0)
LARGEST_PAGE = 5_000_000
SHA256 = re.compile(r"[0-9a-f]{64}")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Headers:
    """The headers of a file's address. Only the Hub sends `sha256`, and only for large files."""

    status: int
    size: int | None
    type: str
    sha256: str | None

    @property
    def sentence(self) -> str:
        size = "unknown size" if self.size is None else f"{self.size / 1e6:,.1f} MB"
        return f"answered {self.status}, {size}, {self.type or 'unknown type'}"


def ask(url: str, *, retrier: Retrier) -> Headers:
    """The headers of the file at an address, from HEAD or, if HEAD is refused, from a GET of the first byte.

    Raises: FailedCheckError if the address is not reached, refuses, or returns a web page instead of a file.
    """
    response = _requested(url, lambda client: client.head(url), retrier)
    if response.is_error:
        response = _requested(url, lambda client: _first_byte(client, url), retrier)
    if response.is_error:
        raise FailedCheckError(f"{url} answered {response.status_code}")
    headers = _headers(response)
    if headers.type == "text/html":
        raise FailedCheckError(f"{url} answered with a web page instead of a file")
    return headers


def read_page(url: str, *, retrier: Retrier) -> str:
    """The first 5 MB of a page's text. Raises: FailedCheckError if the page is not reached or refuses."""
    response = _requested(url, lambda client: _read(client, url), retrier)
    if response.is_error:
        raise FailedCheckError(f"the page {url} answered {response.status_code}")
    return response.text


def _requested(url: str, request: Callable[[httpx.Client], httpx.Response], retrier: Retrier) -> httpx.Response:
    def attempt() -> httpx.Response:
        with httpx.Client(timeout=TIMEOUT, follow_redirects=True, headers={"Accept-Encoding": "identity"}) as client:
            response = request(client)
        if response.status_code in TRANSIENT_STATUSES:
            response.raise_for_status()
        return response

    try:
        return retrier.call(attempt, transient=_transient_failure)
    except httpx.HTTPStatusError as error:
        return error.response
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise FailedCheckError(f"{url} was not reached: {error or type(error).__name__}") from error


def _first_byte(client: httpx.Client, url: str) -> httpx.Response:
    with client.stream("GET", url, headers={"Range": "bytes=0-0"}) as response:
        return response


def _read(client: httpx.Client, url: str) -> httpx.Response:
    with client.stream("GET", url) as response:
        content = b""
        for chunk in response.iter_bytes():
            content += chunk
            if len(content) >= LARGEST_PAGE:
                break
    kept = {"Content-Type": response.headers.get("Content-Type", "text/plain")}
    return httpx.Response(response.status_code, headers=kept, content=content, request=response.request)


def _headers(response: httpx.Response) -> Headers:
    """The headers of a response and its redirects; the Hub sends a large file's size and hash with the redirect."""
    answers = [*response.history, response]
    linked = [answer.headers for answer in answers if "X-Linked-Size" in answer.headers]
    tag = linked[0].get("X-Linked-Etag", "").strip('"') if linked else ""
    whole = re.search(r"/(\d+)$", response.headers.get("Content-Range", ""))
    size = linked[0]["X-Linked-Size"] if linked else whole[1] if whole else response.headers.get("Content-Length", "")
    return Headers(
        status=response.status_code,
        size=int(size) if size.isdigit() else None,
        type=response.headers.get("Content-Type", "").partition(";")[0].strip().lower(),
        sha256=tag if SHA256.fullmatch(tag) else None,
    )


def _transient_failure(error: Exception) -> TransientFailure | None:
    """The transient failure in an error, or None; as in the product, a refused connection is not retried."""
    if isinstance(error, httpx.HTTPStatusError):
        wait = parse_retry_after(error.response.headers.get("Retry-After", ""))
        return TransientFailure(reason=f"{error.request.url} answered {error.response.status_code}", retry_after=wait)
    if isinstance(error, httpx.ReadTimeout | httpx.ReadError | httpx.RemoteProtocolError):
        return TransientFailure(reason=f"{error.request.url} dropped the connection ({error or type(error).__name__})")
    return None
