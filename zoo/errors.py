"""Every error the project raises on purpose.

    ZooError                      the work failed: exit code 1, HTTP 500
    ├── CheckpointError           a checkpoint is damaged, incomplete or of a newer schema
    ├── HubError                  the Hub refused, conflicted or could not be reached
    ├── DivergenceError           training met a loss that is not finite
    ├── ServerError               a server did not start, stopped, or answered with an error
    │   ├── ServerUnavailableError  it is out of reach, full or without a worker, and stayed so
    │   └── StreamInterruptedError  a stream of certificates broke off; asking again may succeed
    ├── OverloadError             this server has as many open requests as it takes: HTTP 429, try again later
    │   └── ClosingError          it takes no new ones since it is about to stop: HTTP 503
    ├── BackendError              what runs a network failed, or cannot run on this device
    │   └── OutOfMemoryError      a device has no memory for a batch
    ├── InterruptionError         the user stopped the work; says how to go on
    └── RequestError              what was asked for is wrong: exit code 2, HTTP 4xx
        ├── RefusedError          a server says so; `http_status` is what it answered
        ├── UnknownNameError      a name that no table holds; lists those it holds
        ├── CertificationError    a parameter for which no certificate can exist
        ├── ImageError            bytes that are no acceptable image
        ├── RecipeError           a recipe field that does not exist or holds nonsense
        ├── TaskError             a data set that is missing or malformed
        ├── LogError              a certification log that is malformed or of another run
        └── ForeignCheckpointError  a foreign file that cannot be imported, or not without knowing more

A message names the thing, its value and what was expected; at the command line it also says what to type next.
Abstaining is a result, not an error.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class ZooError(Exception):
    """The work failed."""

    exit_code = 1
    http_status = 500


class CheckpointError(ZooError):
    """A checkpoint is damaged, incomplete or of a newer schema."""


class HubError(ZooError):
    """The Hub refused, conflicted or could not be reached."""


class DivergenceError(ZooError):
    """Training met a loss or gradient that is not finite."""


class ServerError(ZooError):
    """A server did not start, stopped by itself, or answered with an error."""


class ServerUnavailableError(ServerError):
    """A server is out of reach, full or without a worker, and stayed so for as long as a client would wait."""


class StreamInterruptedError(ServerError):
    """A stream of certificates broke off. What it had certified holds; asking again may succeed."""


class OverloadError(ZooError):
    """A server has as many open requests as it takes; `retry_after` is in seconds."""

    http_status = 429

    def __init__(self, message: str, *, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ClosingError(OverloadError):
    """A server, or this version of a model, is about to stop; another one may answer after `retry_after` seconds."""

    http_status = 503


class BackendError(ZooError):
    """What runs a network failed, or cannot run on this device."""


class OutOfMemoryError(BackendError):
    """A device has no memory for a batch."""


class InterruptionError(ZooError):
    """The user stopped the work."""


class RequestError(ZooError):
    """What was asked for is wrong."""

    exit_code = 2
    http_status = 400


class RefusedError(RequestError):
    """A server refused a request; `http_status` is what it answered."""

    def __init__(self, message: str, *, http_status: int) -> None:
        super().__init__(message)
        self.http_status = http_status


class UnknownNameError(RequestError):
    """A name that no table holds."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        known = sorted(known)
        close = get_close_matches(name, known, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        super().__init__(f"unknown {kind} {name!r}; known: {', '.join(known)}.{hint}")


class CertificationError(RequestError):
    """A parameter for which no certificate can exist."""

    http_status = 422


class ImageError(RequestError):
    """Bytes that are no acceptable image; `http_status` tells which kind of wrong."""

    def __init__(self, message: str, *, http_status: int = 422) -> None:
        super().__init__(message)
        self.http_status = http_status


class RecipeError(RequestError):
    """A recipe field that does not exist or holds nonsense."""


class TaskError(RequestError):
    """A data set that is missing or malformed."""


class LogError(RequestError):
    """A certification log that is malformed or belongs to another run."""


class ForeignCheckpointError(RequestError):
    """A foreign file that cannot be imported, or not without knowing more."""
