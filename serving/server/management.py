"""TorchServe's management API: which models are served, by how many workers, and which version answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import httpx

from zoo.errors import RequestError, ServerError, ServerUnavailableError

TIMEOUT = 5.0
LOADING_TIMEOUT = 300.0
MOST_MODELS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedVersion:
    """One version of a model and its workers; `num_waiting` requests have not reached a worker."""

    name: str
    version: str
    archive: str
    is_default: bool
    num_workers: int
    num_ready: int
    num_waiting: int

    @property
    def is_ready(self) -> bool:
        """Whether a worker is loaded that would answer now."""
        return self.num_ready > 0


class Management:
    """The management API at an address. Use it as a context manager."""

    def __init__(self, url: str, *, token: str | None = None, timeout: float = TIMEOUT) -> None:
        """`token` is the management key where the server asks for one."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self.url = url
        is_plain = url.startswith("http://")  # then no certificates need be read, which takes longer than asking
        self._client = httpx.Client(
            base_url=url, headers=headers, timeout=timeout, trust_env=False, verify=not is_plain
        )

    def __enter__(self) -> Management:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def versions(self) -> list[ServedVersion]:
        """All versions of every model. Raises: as `call`."""
        try:
            names = [model["modelName"] for model in self.call("GET", "/models", {"limit": MOST_MODELS})["models"]]
            return [version for name in names for version in self._versions_of(name)]
        except (KeyError, TypeError, ValueError) as error:
            raise ServerError(f"{self.url} does not answer as TorchServe's management does") from error

    def register(self, archive: str, *, name: str) -> None:
        """Loads an archive of the server's store; returns when its workers are ready. Raises: as `call`."""
        query: dict[str, str | int] = {"url": archive, "model_name": name, "initial_workers": 1, "synchronous": "true"}
        self.call("POST", "/models", query, timeout=LOADING_TIMEOUT)

    def switch(self, name: str, version: str) -> None:
        """Has a version answer those who name none. Raises: as `call`."""
        self.call("PUT", f"/models/{name}/{version}/set-default")

    def unregister(self, name: str, version: str) -> None:
        """Ends a version's workers, and the requests that are open there; its archive stays in the store.

        Raises: as `call`.
        """
        self.call("DELETE", f"/models/{name}/{version}", timeout=LOADING_TIMEOUT)

    def call(
        self, method: str, path: str, query: Mapping[str, str | int] | None = None, *, timeout: float | None = None
    ) -> Any:
        """The JSON that is answered.

        Raises: ServerUnavailableError if nobody answers; RequestError if the server refuses; ServerError if it fails.
        """
        try:
            response = self._client.request(
                method, path, params=query, timeout=self._client.timeout if timeout is None else timeout
            )
        except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
            raise RequestError(f"{self.url!r} is not a URL of the form http://HOST:PORT: {error}") from error
        except httpx.HTTPError as error:
            raise ServerUnavailableError(f"no answer from {self.url}: {error or type(error).__name__}") from error
        try:
            body = response.json()
        except ValueError as error:
            raise ServerError(f"{self.url} answered {response.status_code} with something else than JSON") from error
        if response.status_code >= 400:
            message = f"the server answered {response.status_code}: {body.get('message', '')}"
            raise (RequestError if response.status_code < 500 else ServerError)(message)
        return body

    def _versions_of(self, name: str) -> list[ServedVersion]:
        (default,) = self.call("GET", f"/models/{name}")
        every = self.call("GET", f"/models/{name}/all")
        return [_version(each, default=default["modelVersion"]) for each in every]


def _version(described: Mapping[str, Any], *, default: str) -> ServedVersion:
    workers = described["workers"]
    return ServedVersion(
        name=described["modelName"],
        version=described["modelVersion"],
        archive=described["modelUrl"],
        is_default=described["modelVersion"] == default,
        num_workers=len(workers),
        num_ready=sum(worker["status"] == "READY" for worker in workers),
        num_waiting=described["jobQueueStatus"]["pendingRequests"],
    )
