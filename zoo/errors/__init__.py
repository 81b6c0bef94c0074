"""The exceptions that this project raises.

    ZooError                      the work failed: exit code 1, HTTP 500
    ├── CheckpointError           a checkpoint is damaged, incomplete or of a newer schema
    ├── HubError                  the Hub refused, conflicted or could not be reached
    ├── DivergenceError           training produced a loss or gradient that is not finite
    ├── ServerError               a server did not start, stopped, or answered with an error
    │   ├── ServerUnavailableError  a server stayed unreachable, full or without a worker
    │   └── StreamInterruptedError  a stream of certificates was cut off; a retry may succeed
    ├── OverloadError             a server has reached its limit of open requests: HTTP 429, retry later
    │   ├── ClosingError          a server is about to stop and accepts no new requests: HTTP 503
    │   └── WorkerLostError       a worker ended before it had answered, or is being started: HTTP 503
    ├── BackendError              a backend failed, or cannot run on this device
    │   ├── ExportError           a network that cannot be expressed in ONNX
    │   └── OutOfMemoryError      a device has too little memory for a batch
    ├── InterruptionError         the user stopped the work: exit code 130; the message says how to resume
    └── RequestError              the request is invalid: exit code 2, HTTP 4xx
        ├── RefusedError          a server refused the request; `http_status` is the status of its response
        ├── UnknownNameError      a name is not in a table; the message lists the known names
        ├── CertificationError    a parameter for which no certificate can exist
        ├── ImageError            bytes that are not an acceptable image
        ├── RecipeError           a recipe field that does not exist or has an invalid value
        ├── TaskError             a data set that is missing or malformed
        ├── LogError              a certification log that is malformed or belongs to another run
        └── ForeignCheckpointError  a foreign file that cannot be imported, or only with more options

A message gives the name, its value and the expected value. At the command line it also gives the next command to type.
Abstaining is a result, not an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from zoo.errors.suggestions import did_you_mean


class ZooError(Exception):
    """The work failed; the root of all exceptions of this project."""

    exit_code = 1
    http_status = 500

    def __reduce__(self) -> tuple[Callable[..., ZooError], tuple[object, ...]]:
        """Copies the message and the attributes to another process, whatever the arguments of the constructor."""
        return _restored, (type(self), self.args, self.__dict__)


def _restored(kind: type[ZooError], args: tuple[object, ...], attributes: Mapping[str, object]) -> ZooError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(attributes)
    return error


class CheckpointError(ZooError):
    """A checkpoint is damaged, incomplete or of a newer schema."""


class HubError(ZooError):
    """The Hub refused, conflicted or could not be reached."""


class DivergenceError(ZooError):
    """Training produced a loss or gradient that is not finite."""


class ServerError(ZooError):
    """A server did not start, stopped unexpectedly, or answered with an error."""


class ServerUnavailableError(ServerError):
    """A server stayed unreachable, full or without a worker until the client's retries ended."""


class StreamInterruptedError(ServerError):
    """A stream of certificates was cut off. The certificates received are valid; a retry may succeed."""


class OverloadError(ZooError):
    """A server has reached its limit of open requests; `retry_after` is in seconds."""

    http_status = 429

    def __init__(self, message: str, *, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ClosingError(OverloadError):
    """A server or a version of a model is about to stop; another one may answer after `retry_after` seconds."""

    http_status = 503


class WorkerLostError(OverloadError):
    """A worker ended before it had answered a request, or is still being started; a retry after `retry_after` succeeds.

    The retry draws the same noise if the answers of the server are repeatable, so that it is not a second chance.
    """

    http_status = 503


class BackendError(ZooError):
    """A backend failed, or cannot run on this device."""


class ExportError(BackendError):
    """A network cannot be expressed in ONNX."""


class OutOfMemoryError(BackendError):
    """A device has too little memory for a batch."""


class InterruptionError(ZooError):
    """The user stopped the work."""

    exit_code = 130  # 128 and the number of SIGINT, as a shell reports a program that Ctrl-C ended


class RequestError(ZooError):
    """The request is invalid."""

    exit_code = 2
    http_status = 400


class RefusedError(RequestError):
    """A server refused a request; `http_status` is the status of its response."""

    def __init__(self, message: str, *, http_status: int) -> None:
        super().__init__(message)
        self.http_status = http_status


class UnknownNameError(RequestError):
    """A name is not in a table; the message lists the known names."""

    def __init__(
        self, kind: str, name: str, known: Iterable[str], *, others: Iterable[str] = (), more: str | None = None
    ) -> None:
        """Composes the message.

        Args:
            kind: what the name is for, such as "task".
            name: the unknown name.
            known: the names of the table, which the message lists.
            others: further known names, too many to list; a suggestion may be one of them.
            more: what `others` are, in words.
        """
        known, others = sorted(known), sorted(others)
        hint = did_you_mean(name, known, cutoff=0.8 if others else 0.6) or did_you_mean(name, others)
        listed = ", ".join(known) + ("" if more is None else f" and {more}")
        super().__init__(f"unknown {kind} {name!r}; known: {listed}.{hint}")


class CertificationError(RequestError):
    """A parameter for which no certificate can exist."""

    http_status = 422


class ImageError(RequestError):
    """Bytes that are not an acceptable image; `http_status` classifies the reason."""

    def __init__(self, message: str, *, http_status: int = 422) -> None:
        super().__init__(message)
        self.http_status = http_status


class RecipeError(RequestError):
    """A recipe field that does not exist or has an invalid value."""


class TaskError(RequestError):
    """A data set that is missing or malformed."""


class LogError(RequestError):
    """A certification log that is malformed or belongs to another run."""


class ForeignCheckpointError(RequestError):
    """A foreign file that cannot be imported, or only with more options."""
