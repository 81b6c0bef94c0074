"""A running server, as operators see it, whichever engine runs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, Protocol

import psutil

from serving.server.health import Health
from serving.server.management import Management
from serving.server.model_store import Archive
from serving.server.options import ServerOptions
from serving.server.ports import Ports


class Engine(Protocol):
    """A server that is ready inside its `with` block. It ends all its processes and removes its folder afterwards."""

    options: ServerOptions
    ports: Ports
    folder: Path
    logs: Path
    model_store: Path
    signs: Path

    @property
    def archives(self) -> Sequence[Archive]:
        """The archives that the server was started with."""
        ...

    @property
    def url(self) -> str:
        """The server's address for predictions from this machine."""
        ...

    @property
    def management_url(self) -> str:
        """The address of the management API, which requires the management token."""
        ...

    @property
    def operator_url(self) -> str:
        """The address of /live, /ready and /metrics."""
        ...

    @property
    def key_file(self) -> Path:
        """The file with the management token and, if predictions require a token, with their token."""
        ...

    @property
    def metrics_folder(self) -> Path:
        """The folder of the workers' metrics; the server must have been started."""
        ...

    def prediction_url(self, archive: Path) -> str:
        """The URL for predictions of an archive's model."""
        ...

    def token(self, kind: str) -> str | None:
        """The token of kind `inference` or `management`; None if predictions require no token."""
        ...

    def management(self) -> Management:
        """A connection to the management API."""
        ...

    def health(self) -> Health:
        """The health that /live and /ready report."""
        ...

    def metrics(self) -> bytes:
        """The content of /metrics in Prometheus' text format."""
        ...

    def interface(self) -> Mapping[str, Any]:
        """The OpenAPI document of the interface."""
        ...

    def wait(self) -> NoReturn:
        """Waits while the server runs. Raises: ServerError when it ends by itself, or cannot answer any more."""
        ...

    def drain(self, seconds: float) -> bool:
        """Refuses new requests, and waits until all open requests are answered; False if some are open after `seconds`.

        The caller must stop the server in both cases.
        """
        ...

    def processes(self) -> list[psutil.Process]:
        """The server's running processes besides the calling one."""
        ...
