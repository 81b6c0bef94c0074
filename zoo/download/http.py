"""Download of one file over HTTP.

The file gets its final name only after it is complete and its hash was checked.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedRandom
from pathlib import Path

import httpx

from zoo.download.environment import settings_named
from zoo.download.retry import DEFAULT_RETRIER, TRANSIENT_STATUSES, Retrier, TransientFailure, parse_retry_after
from zoo.errors import HubError
from zoo.host.lock import exclusive_lock

TIMEOUT = httpx.Timeout(10.0, read=60.0)


def download(url: str, target: Path, *, sha256_prefix: str | None = None, retrier: Retrier = DEFAULT_RETRIER) -> None:
    """Downloads `url` to `target`, whose folder is created.

    If the connection drops, the received part is kept next to `target`. This call and later calls resume from it as
    long as the server reports that the file is unchanged.

    Args:
        url: The address of the file.
        target: The path to write the file to.
        sha256_prefix: The first hexadecimal digits of the expected SHA-256; None skips the check.
        retrier: The retry policy and the progress report.

    Raises: HubError if the server refuses, cannot be reached or keeps dropping the connection. HubError also if the
        SHA-256 does not begin with `sha256_prefix` or the disk cannot be written; the received part is then deleted.
        RequestError if a proxy or certificate setting of the environment cannot be used.
    """
    with settings_named():
        client = httpx.Client(timeout=TIMEOUT, follow_redirects=True)
    with client:
        _download(client, url, target, sha256_prefix, retrier)


def _download(client: httpx.Client, url: str, target: Path, sha256_prefix: str | None, retrier: Retrier) -> None:
    part, validator, lock = (target.parent / f".{target.name}.{suffix}" for suffix in ("part", "validator", "lock"))
    busy = HubError(f"another process is downloading to {part}: wait until it ends, then try again")
    try:
        with exclusive_lock(lock, otherwise=busy), _discarded_on_failure(part, validator), part.open("a+b") as file:
            retrier.report(f"downloading {url}")
            retrier.call(lambda: _receive(client, url, file, validator), transient=_transient_failure)
            file.seek(0)
            _require_prefix(hashlib.file_digest(file, "sha256").hexdigest(), sha256_prefix, url)
            part.replace(target)
            validator.unlink(missing_ok=True)
    except httpx.HTTPStatusError as error:
        raise HubError(f"{url} answered {error.response.status_code}: nothing was downloaded") from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise HubError(f"cannot download {url}: {error or type(error).__name__}; try again") from error
    except OSError as error:
        raise HubError(f"cannot write {target}: {error.strerror or error}; nothing was kept") from error
    except _OtherBytesError as error:
        raise HubError(str(error)) from error


class _OtherBytesError(Exception):
    """The served bytes are not those that were published."""


def _receive(client: httpx.Client, url: str, file: BufferedRandom, validator: Path) -> None:
    """Appends the missing bytes. Starts again at byte 0 if the server cannot resume or its file has changed."""
    received = file.seek(0, 2)
    headers = {"Accept-Encoding": "identity"}
    if received and validator.is_file():
        headers |= {"Range": f"bytes={received}-", "If-Range": validator.read_text()}
    with client.stream("GET", url, headers=headers) as response:
        if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            file.truncate(0)
            validator.unlink(missing_ok=True)
            raise httpx.RemoteProtocolError("the server has no bytes after those already received")
        response.raise_for_status()
        begins = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
        if response.status_code != httpx.codes.PARTIAL_CONTENT or begins is None or int(begins[1]) != received:
            file.truncate(0)
        _note_validator(response, validator)
        for chunk in response.iter_bytes():
            file.write(chunk)
        file.flush()


def _note_validator(response: httpx.Response, validator: Path) -> None:
    """Records how the server identifies the file's version. A weak ETag does not guarantee equal bytes."""
    tag = response.headers.get("ETag", "")
    version = tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified", "")
    if version:
        validator.write_text(version)
    else:
        validator.unlink(missing_ok=True)


def _transient_failure(error: Exception) -> TransientFailure | None:
    if isinstance(error, httpx.HTTPStatusError):
        status, retry_after = error.response.status_code, error.response.headers.get("Retry-After", "")
        if status not in TRANSIENT_STATUSES:
            return None
        return TransientFailure(reason=f"the server answered {status}", retry_after=parse_retry_after(retry_after))
    if isinstance(error, httpx.ReadTimeout | httpx.ReadError | httpx.RemoteProtocolError):
        return TransientFailure(reason=f"the connection dropped ({error or type(error).__name__})")
    return None


@contextmanager
def _discarded_on_failure(*paths: Path) -> Iterator[None]:
    """Removes the files after failures that resuming cannot cure; the caller holds the lock."""
    try:
        yield
    except (httpx.HTTPStatusError, OSError, _OtherBytesError):
        for path in paths:
            with suppress(OSError):  # a file that cannot be written often does not exist
                path.unlink()
        raise


def _require_prefix(sha256: str, expected: str | None, url: str) -> None:
    if expected is not None and not sha256.startswith(expected):
        raise _OtherBytesError(
            f"{url} served other bytes than were published: their SHA-256 is {sha256}, expected {expected}...; "
            "nothing was kept"
        )
