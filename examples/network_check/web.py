"""Plain requests: an address asked for its headers, a page read."""

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
    """What an address said of its file. `sha256` is told by the Hub alone, of large files."""

    status: int
    size: int | None
    type: str
    sha256: str | None

    @property
    def sentence(self) -> str:
        size = "size not told" if self.size is None else f"{self.size / 1e6:,.1f} MB"
        return f"answered {self.status}, {size}, {self.type or 'type not told'}"


def ask(url: str, *, retrier: Retrier) -> Headers:
    """The headers of the file at an address, by HEAD or, where that is refused, by a GET of its first byte.

    Raises: FailedCheckError if it is not reached, refuses, or has a web page in the place of a file.
    """
    response = _requested(url, lambda client: client.head(url), retrier)
    if response.is_error:
        response = _requested(url, lambda client: _first_byte(client, url), retrier)
    if response.is_error:
        raise FailedCheckError(f"{url} answered {response.status_code}")
    found = _headers(response)
    if found.type == "text/html":
        raise FailedCheckError(f"{url} answered with a web page in the place of a file")
    return found


def read_page(url: str, *, retrier: Retrier) -> str:
    """The text of a page, its first 5 MB. Raises: FailedCheckError if it is not reached or refuses."""
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
    """The Hub tells size and hash of a large file before it sends elsewhere, so all answers on the way count."""
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
    """As for the product's downloads: an address that takes no connection is not tried again."""
    if isinstance(error, httpx.HTTPStatusError):
        wait = parse_retry_after(error.response.headers.get("Retry-After", ""))
        return TransientFailure(reason=f"{error.request.url} answered {error.response.status_code}", retry_after=wait)
    if isinstance(error, httpx.ReadTimeout | httpx.ReadError | httpx.RemoteProtocolError):
        return TransientFailure(reason=f"{error.request.url} dropped the connection ({error or type(error).__name__})")
    return None
