"""TorchServe's management API, which every engine has: lists, loads and removes models, sets default versions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from zoo.errors import RequestError, ServerError, ServerUnavailableError
from zoo.host.untrusted_json import parse_json

TIMEOUT = 5.0
LOADING_TIMEOUT = 300.0
MOST_MODELS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """A worker of a version. The server keeps its `id` when it starts a new process in the place of one that died.

    `pid`: the process id of the worker's latest process; 0 or less until the server knows it.
    `is_ready`: whether that process runs and has loaded the model.
    """

    id: str
    pid: int
    is_ready: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedVersion:
    """One version of a model and its workers; `num_waiting` is the number of requests that no worker has taken yet."""

    name: str
    version: str
    archive: str
    is_default: bool
    num_workers: int
    num_ready: int
    num_waiting: int
    workers: tuple[Worker, ...]

    @property
    def is_ready(self) -> bool:
        """Whether at least one loaded worker can answer requests."""
        return self.num_ready > 0


class Management:
    """A connection to the management API at an address. Use it as a context manager."""

    def __init__(
        self, url: str, *, token: str | None = None, timeout: float = TIMEOUT, socket: Path | None = None
    ) -> None:
        """`token` is the management key; `timeout` is in seconds; `socket` is a Unix socket to connect to instead."""
        import httpx  # the front process needs only the records above, and starts faster without it

        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self.url = url
        is_plain = url.startswith("http://")  # skips loading CA certificates, which takes longer than a request
        transport = None if socket is None else httpx.HTTPTransport(uds=str(socket), verify=not is_plain)
        self._client = httpx.Client(
            base_url=url,
            headers=headers,
            timeout=timeout,
            trust_env=False,
            verify=not is_plain,
            transport=transport,
        )

    def __enter__(self) -> Management:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def versions(self) -> list[ServedVersion]:
        """All versions of every model. Raises: the errors of `call`."""
        try:
            names = [model["modelName"] for model in self.call("GET", "/models", {"limit": MOST_MODELS})["models"]]
            return [version for name in names for version in self._versions_of(name)]
        except (KeyError, TypeError, ValueError) as error:
            raise ServerError(
                f"{self.url} does not answer like TorchServe's management API: expected the management address"
            ) from error

    def register(self, archive: str, *, name: str) -> None:
        """Loads an archive of the server's store; returns when its worker is ready. Raises: the errors of `call`."""
        query: dict[str, str | int] = {"url": archive, "model_name": name, "initial_workers": 1, "synchronous": "true"}
        self.call("POST", "/models", query, timeout=LOADING_TIMEOUT)

    def switch(self, name: str, version: str) -> None:
        """Makes a version the default. Raises: the errors of `call`."""
        self.call("PUT", f"/models/{name}/{version}/set-default")

    def scale(self, name: str, version: str, *, num_workers: int) -> None:
        """Makes the server start or end workers of a version; returns at once. Raises: the errors of `call`."""
        query = {"min_worker": num_workers, "max_worker": num_workers}
        self.call("PUT", f"/models/{name}/{version}", query)

    def unregister(self, name: str, version: str) -> None:
        """Ends a version's workers and cuts off their open requests. The archive stays in the store.

        Raises: the errors of `call`.
        """
        self.call("DELETE", f"/models/{name}/{version}", timeout=LOADING_TIMEOUT)

    def call(
        self, method: str, path: str, query: Mapping[str, str | int] | None = None, *, timeout: float | None = None
    ) -> Any:
        """The parsed JSON of the response.

        Raises: ServerUnavailableError if there is no response; RequestError if the server refuses the request or the
        URL is invalid; ServerError if the server fails.
        """
        import httpx

        try:
            response = self._client.request(
                method, path, params=query, timeout=self._client.timeout if timeout is None else timeout
            )
        except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
            raise RequestError(f"{self.url!r} is not a URL of the form http://HOST:PORT: {error}") from error
        except httpx.HTTPError as error:
            raise ServerUnavailableError(f"no answer from {self.url}: {error or type(error).__name__}") from error
        try:
            body = parse_json(response.content)
        except ValueError as error:
            raise ServerError(f"{self.url} answered {response.status_code} with a body that is not JSON") from error
        if response.status_code >= 400:
            message = f"the server answered {response.status_code}: {body.get('message', '')}"
            raise (RequestError if response.status_code < 500 else ServerError)(message)
        return body

    def _versions_of(self, name: str) -> list[ServedVersion]:
        (default,) = self.call("GET", f"/models/{name}")
        descriptions = self.call("GET", f"/models/{name}/all")
        return [_version(description, default=default["modelVersion"]) for description in descriptions]


def _version(description: Mapping[str, Any], *, default: str) -> ServedVersion:
    workers = tuple(
        Worker(id=worker["id"], pid=worker["pid"], is_ready=worker["status"] == "READY")
        for worker in description["workers"]
    )
    return ServedVersion(
        name=description["modelName"],
        version=description["modelVersion"],
        archive=description["modelUrl"],
        is_default=description["modelVersion"] == default,
        num_workers=len(workers),
        num_ready=sum(worker.is_ready for worker in workers),
        num_waiting=description["jobQueueStatus"]["pendingRequests"],
        workers=workers,
    )
