"""The management API over a fleet, with the addresses of TorchServe's, so that one client manages every engine."""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from serving.front.fleet import Fleet
from serving.server.keys import read_key
from serving.server.loopback_server import Request, Response, refusal
from serving.server.management import ServedVersion
from zoo.errors import RequestError, UnknownNameError, ZooError

PENDING = {"pendingRequests": 0}


def management_api(
    fleet: Fleet, *, archives: Path, key_file: Path, can_switch_models: bool
) -> Callable[[Request], Response]:
    """The function that responds to management requests.

    Args:
        fleet: the served versions.
        archives: the folder of adopted archives, from which models are loaded.
        key_file: the file with the management token, which every request needs.
        can_switch_models: whether models may be added and removed.
    """

    def respond(request: Request) -> Response:
        expected = f"Bearer {read_key(key_file)}"
        if not hmac.compare_digest(request.headers.get("Authorization", "").encode(), expected.encode()):
            message = "the management needs the management token of the server's key file: Authorization: Bearer TOKEN"
            return refusal(401, message, **{"WWW-Authenticate": "Bearer"})
        try:
            return _json(200, answer(request))
        except UnknownNameError as error:
            return refusal(404, str(error))
        except ZooError as error:
            return refusal(error.http_status, str(error))

    def answer(request: Request) -> Any:
        parts = urlsplit(request.path)
        query = dict(parse_qsl(parts.query))
        match request.method, [unquote(part) for part in parts.path.strip("/").split("/")]:
            case "GET" | "HEAD", ["models"]:
                listed = [{"modelName": each.name, "modelUrl": each.archive} for each in _defaults(fleet)]
                return {"models": listed}
            case "GET" | "HEAD", ["models", name]:
                return [_described(each) for each in _versions_of(fleet, name) if each.is_default]
            case "GET" | "HEAD", ["models", name, "all"]:
                return [_described(each) for each in _versions_of(fleet, name)]
            case "GET" | "HEAD", ["models", name, version]:
                return [_described(each) for each in _versions_of(fleet, name) if each.version == version]
            case "PUT", ["models", name, version, "set-default"]:
                fleet.switch(name, version)
                return {"status": f"{version} is the default version of {name}"}
            case "PUT", ["models", name, *version]:
                (chosen,) = version or [each.version for each in _versions_of(fleet, name) if each.is_default]
                fleet.scale(name, chosen, num_workers=_number(query, "min_worker"))
                return {"status": "the workers are being scaled"}
            case "POST", ["models"]:
                require_switching()
                (archive,) = fleet.load(_archive_in(archives, query.get("url", "")))
                return {"status": f"{archive.name} {archive.version} is loaded"}
            case "DELETE", ["models", name, version]:
                require_switching()
                fleet.unload(name, version)
                return {"status": f"{name} {version} is removed"}
        raise _UnknownAddressError(f"{request.method} is not possible at this address")

    def require_switching() -> None:
        if not can_switch_models:
            raise _SwitchingError("models cannot be added or removed: start the server with --store DIR")

    return respond


def _versions_of(fleet: Fleet, name: str) -> list[ServedVersion]:
    """The versions of a model. Raises: UnknownNameError."""
    versions = [served for served in fleet.versions() if served.name == name]
    if not versions:
        raise UnknownNameError("model", name, fleet.models)
    return versions


def _defaults(fleet: Fleet) -> list[ServedVersion]:
    return [served for served in fleet.versions() if served.is_default]


def _described(served: ServedVersion) -> dict[str, Any]:
    workers = [
        {"id": worker.id, "pid": worker.pid, "status": "READY" if worker.is_ready else "UNLOADING"}
        for worker in served.workers
    ]
    described = {"modelName": served.name, "modelVersion": served.version, "modelUrl": served.archive}
    return {**described, "workers": workers, "jobQueueStatus": PENDING}


def _archive_in(folder: Path, name: str) -> Path:
    """The adopted archive of this name. Raises: RequestError."""
    if name not in [path.name for path in folder.iterdir()]:
        raise RequestError(f"the server has not adopted an archive {name!r}: add models with zoo models add")
    return folder / name


def _number(query: dict[str, str], name: str) -> int:
    value = query.get(name, "")
    if not value.isdecimal():
        raise RequestError(f"{name} must be a number, got {value!r}")
    return int(value)


def _json(status: int, body: Any) -> Response:
    return Response(status=status, body=json.dumps(body).encode())


class _UnknownAddressError(RequestError):
    """There is no such address, or it does not have this method."""

    http_status = 404


class _SwitchingError(RequestError):
    """The operator has not allowed that models are added or removed."""

    http_status = 405
