"""Changing which models a running server serves, without losing a request."""

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


def new_version(served: Sequence[ServedVersion], name: str, asked: str | None) -> str:
    """The version asked for, or the next whole number after those of `name` that are served.

    Raises: RequestError if the one asked for is served.
    """
    if asked is not None and any((each.name, each.version) == (name, asked) for each in served):
        raise RequestError(f"{name} {asked} is served already: choose another --version, or leave it out")
    if asked is not None:
        return asked
    majors = [int(each.version.split(".")[0]) for each in served if each.name == name]
    return f"{max(majors, default=0) + 1}.0"


def add(record: ServerRecord, management: Management, archive: Archive) -> None:
    """Loads an archive of the server's store; returns when a worker is ready.

    The archive is deleted if the server answers that it cannot load it. It stays in the store if no answer comes,
    since the server may still load it and would then serve a version whose archive is gone.
    Raises: ServerError with the reason, or with what is known if no answer comes; RequestError if the server refuses.
    """
    log = Path(record.logs) / WORKER_LOG
    before = len(read_log(log))
    try:
        management.register(archive.path.name, name=archive.name)
    except ServerUnavailableError as error:
        problem = _problem_of(management, archive)
        if problem is None:  # only the answer was lost
            return
        raise ServerError(
            f"{archive.name} {archive.version}: {error}. {problem}. Its archive stays in {archive.path.parent}. "
            "`zoo models list` shows when a worker is ready, and `zoo models remove` ends the version"
        ) from error
    except ServerError as error:
        archive.path.unlink(missing_ok=True)
        reason = reason_of_death(read_log(log)[before:]) or str(error)
        raise ServerError(f"{archive.name} {archive.version} cannot be loaded, and is not served: {reason}") from error


def _problem_of(management: Management, archive: Archive) -> str | None:
    """Why the archive's version may not be ready, by what the server says now; None if it is ready."""
    try:
        versions = management.versions()
    except ServerError:
        return "The server does not say whether it will be served"
    for version in versions:
        if (version.name, version.version) == (archive.name, archive.version):
            return None if version.is_ready else "The server has registered it, and no worker is ready yet"
    return "The server does not list it yet"


def require_served(served: Sequence[ServedVersion], name: str, version: str) -> ServedVersion:
    """The version. Raises: UnknownNameError that lists those there are."""
    for each in served:
        if (each.name, each.version) == (name, version):
            return each
    raise UnknownNameError("version", f"{name} {version}", [f"{each.name} {each.version}" for each in served])


def remove(record: ServerRecord, management: Management, name: str, version: str, *, seconds: float) -> bool:
    """Ends a version once its open requests are answered; those that are still open after `seconds` are cut off.

    New requests that name this version are refused with 503 meanwhile.
    Returns whether all were answered. Raises: RequestError if the version is the one that answers by default.
    """
    found = require_served(management.versions(), name, version)
    if found.is_default:
        raise RequestError(f"{name} {version} is the version that answers: zoo models switch to another one first")
    sign = sign_of(Path(record.signs), name, version)
    sign.touch()
    try:
        metrics = Path(record.metrics)
        drained = wait_until_idle(lambda: total(metrics, OPEN_REQUESTS, model=name, version=version), seconds=seconds)
        management.unregister(name, version)
    finally:
        sign.unlink(missing_ok=True)
    return drained
