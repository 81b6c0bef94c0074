"""Adds, switches and removes models of a running server without losing requests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from serving.server.draining import sign_of, wait_until_idle
from serving.server.exposition import OPEN_REQUESTS, total
from serving.server.logs import WORKER_LOG, read_log, reason_of_death
from serving.server.management import Management, ServedVersion
from serving.server.model_store import Archive
from serving.server.record import ServerRecord
from zoo.errors import RequestError, ServerError, ServerUnavailableError, UnknownNameError


def new_version(served: Sequence[ServedVersion], name: str, requested: str | None) -> str:
    """The requested version, or by default the next whole number after the served versions of `name`.

    Raises: RequestError if the requested version is already served.
    """
    if requested is not None and any((model.name, model.version) == (name, requested) for model in served):
        raise RequestError(f"{name} {requested} is already served: choose another --version, or leave the option out")
    if requested is not None:
        return requested
    majors = [int(model.version.split(".")[0]) for model in served if model.name == name]
    return f"{max(majors, default=0) + 1}.0"


def add(record: ServerRecord, management: Management, archive: Archive, *, kept: Path) -> None:
    """Loads an archive that the server has adopted from `kept`; returns when a worker is ready.

    This function deletes the archive in both places if the server reports that it cannot load the archive. Without a
    response the archive stays, because the server may still load it.
    Raises: ServerError with the reason, or with the known state if there is no response; RequestError if the server
    refuses.
    """
    log = Path(record.logs) / WORKER_LOG
    before = len(read_log(log))
    try:
        management.register(archive.path.name, name=archive.name)
    except ServerUnavailableError as error:
        problem = _problem_of(management, archive)
        if problem is None:  # only the response was lost
            return
        raise ServerError(
            f"{archive.name} {archive.version}: {error}. {problem}. Its archive stays in {kept.parent}. "
            "`zoo models list` shows when a worker is ready, and `zoo models remove` ends the version"
        ) from error
    except ServerError as error:
        for path in (archive.path, kept):
            path.unlink(missing_ok=True)
        reason = reason_of_death(read_log(log)[before:]) or str(error)
        raise ServerError(f"{archive.name} {archive.version} cannot be loaded, and is not served: {reason}") from error


def _problem_of(management: Management, archive: Archive) -> str | None:
    """The reason why the archive's version may not be ready, from a new query of the server; None if it is ready."""
    try:
        versions = management.versions()
    except ServerError:
        return "The server does not say whether it will be served"
    for version in versions:
        if (version.name, version.version) == (archive.name, archive.version):
            return None if version.is_ready else "The server has registered it, and no worker is ready yet"
    return "The server does not list it yet"


def require_served(served: Sequence[ServedVersion], name: str, version: str) -> ServedVersion:
    """The served version of a model. Raises: UnknownNameError, which lists the served versions, if it is missing."""
    for model in served:
        if (model.name, model.version) == (name, version):
            return model
    raise UnknownNameError("version", f"{name} {version}", [f"{model.name} {model.version}" for model in served])


def remove(record: ServerRecord, management: Management, name: str, version: str, *, seconds: float) -> bool:
    """Removes a version after its open requests are answered; returns whether all were answered within `seconds`.

    Requests that are still open after `seconds` are cut off. Until the removal, the workers refuse new requests for
    this version with 503.
    Raises: RequestError if the version is the default; UnknownNameError if it is not served.
    """
    model = require_served(management.versions(), name, version)
    if model.is_default:
        raise RequestError(
            f"{name} {version} is the default version: make another version the default with zoo models switch first"
        )
    sign = sign_of(Path(record.signs), name, version)
    sign.touch()
    try:
        metrics = Path(record.metrics)
        drained = wait_until_idle(lambda: total(metrics, OPEN_REQUESTS, model=name, version=version), seconds=seconds)
        management.unregister(name, version)
    finally:
        sign.unlink(missing_ok=True)
    return drained
