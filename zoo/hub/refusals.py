"""Translates the Hub client's errors into one sentence with advice, and classifies transient failures."""

from __future__ import annotations

import errno
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import httpx2
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from zoo.download.retry import TRANSIENT_STATUSES, TransientFailure, parse_retry_after
from zoo.errors import HubError, RequestError, ZooError
from zoo.hub.connection import endpoint, place

Access = Literal["read", "write"]

CONFLICT, TOO_MANY_REQUESTS = 412, 429


def transient_failure(error: Exception) -> TransientFailure | None:
    """The transient failure behind a client error if a retry may succeed, else None."""
    if isinstance(error, HfHubHTTPError):
        status = error.response.status_code
        if status not in TRANSIENT_STATUSES:
            return None
        return TransientFailure(reason=f"the Hub answered {status}", retry_after=_retry_after(error))
    if isinstance(error, httpx2.TimeoutException | httpx2.NetworkError | httpx2.RemoteProtocolError):
        return TransientFailure(reason=f"the connection to the Hub failed ({_short(error)})")
    if isinstance(error, json.JSONDecodeError):  # the client parses an error's body before it checks the status
        return TransientFailure(reason="the Hub's response is not JSON")
    return None


def _retry_after(error: HfHubHTTPError) -> float | None:
    """The waiting time in seconds that the response requests, or None."""
    headers = error.response.headers
    used_up = re.search(r"\br=0;t=(\d+)", headers.get("RateLimit", ""))
    return parse_retry_after(used_up[1] if used_up else headers.get("Retry-After", ""))


@contextmanager
def translated(repository: str, *, access: Access) -> Iterator[None]:
    """Replaces the client's errors inside the block with a ZooError about this access to the repository."""
    try:
        yield
    except ZooError:
        raise
    except (httpx2.HTTPError, LocalTokenNotFoundError, OSError, ValueError, RuntimeError) as error:
        raise refusal(repository, error, access=access) from error


def refusal(repository: str, error: Exception, *, access: Access) -> ZooError:
    """The ZooError for a client error. The order of the cases matters: the client's error classes overlap."""
    match error:
        case GatedRepoError():
            return HubError(
                f"{repository} is gated: request access on its page, then log in with an account that has access"
            )
        case RepositoryNotFoundError():
            return HubError(
                f"{repository} does not exist on {place()}, or is private and this login has no access to it"
            )
        case RevisionNotFoundError():
            return HubError(f"{repository} has no such revision on {place()}: {_short(error)}")
        case LocalEntryNotFoundError():
            return _not_cached(repository, error, access)
        case EntryNotFoundError():
            return HubError(f"{repository} is missing a file on {place()}: {_short(error)}")
        case HfHubHTTPError():
            return HubError(_explain_status(repository, error, access))
        case OfflineModeIsEnabled():
            return HubError("HF_HUB_OFFLINE is set, but this operation needs the Hub: unset HF_HUB_OFFLINE")
        case LocalTokenNotFoundError():
            return HubError("no Hub token: run `hf auth login`, or set HF_TOKEN to a token with write access")
        case HFValidationError():
            return RequestError(f"{repository!r} is not a repository id of the form owner/name: {_short(error)}")
        case json.JSONDecodeError():
            return HubError(f"the response of {endpoint()} is not JSON: check HF_ENDPOINT, or try again later")
        case httpx2.HTTPError():
            return HubError(f"the connection to the Hub at {endpoint()} failed: {_short(error)}; try again")
        case OSError() if error.errno is not None:
            return HubError(
                f"cannot read or write {error.filename or 'a file'}: {_disk(error)}; nothing was left behind"
            )
        case _ if access == "read":
            return HubError(f"the download of {repository} failed and was not kept: {_with_cause(error)}")
        case ValueError():  # invalid card metadata, or a file that the storage rejects
            return HubError(f"the Hub refused a file, so nothing was committed to {repository}: {_lines(error)}")
        case _:  # the client wraps a failed upload of a large file in such an error
            return HubError(f"the upload failed, so nothing was committed to {repository}: {_with_cause(error)}")


def _not_cached(repository: str, error: LocalEntryNotFoundError, access: Access) -> ZooError:
    cause = error.__cause__
    if isinstance(cause, httpx2.HTTPError):
        return refusal(repository, cause, access=access)
    return HubError(f"{repository} is not completely in the Hub client's cache: {_short(error)}")


def _explain_status(repository: str, error: HfHubHTTPError, access: Access) -> str:
    status = error.response.status_code
    known = {
        401: "the Hub does not accept this token: run `hf auth login`, or set HF_TOKEN to a valid one",
        403: f"this login may not {access} {repository}: use a token with {access} access to it",
        404: f"{endpoint()} has no repository {repository}: check its name and HF_ENDPOINT",
        409: f"{repository}: the object to create exists already; check the repository's page, then try again",
        CONFLICT: (
            f"another user pushed first: this push changed nothing in {repository}; check its new head, then push again"
        ),
        TOO_MANY_REQUESTS: "the Hub limits the rate of requests: wait a few minutes and try again",
    }
    return known.get(status, f"the Hub answered {status} for {repository}: {_short(error)}")


def _disk(error: OSError) -> str:
    return "the disk is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else error.strerror or str(error)


def _with_cause(error: Exception) -> str:
    return _short(error) + (f" {_short(error.__cause__)}" if isinstance(error.__cause__, Exception) else "")


def _lines(error: Exception) -> str:
    return " ".join(str(error).split())


def _short(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
