"""A running server, as operators see it, whichever engine runs it."""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, NoReturn, Self

import psutil

from serving.server.draining import ALL, wait_until_idle
from serving.server.exposition import OPEN_REQUESTS, make_metrics_folder, total
from serving.server.health import Health
from serving.server.keys import read_key
from serving.server.logs import read_log
from serving.server.management import Management
from serving.server.model_store import Archive
from serving.server.options import ServerOptions
from serving.server.ports import LOOPBACK, Ports
from serving.server.supervision import Supervisor

LOG_LINES_IN_ERRORS = 15


class Engine(ABC):
    """A server that is ready inside its `with` block. It ends all its processes and removes its folder afterwards.

    An engine's constructor sets the attributes below, and calls `stop` if it fails after it has made the folder.
    """

    options: ServerOptions
    ports: Ports
    folder: Path
    logs: Path
    model_store: Path
    signs: Path
    archives: list[Archive]
    """The archives that the server was started with."""
    _log_names: ClassVar[tuple[str, ...]]
    """The logs that errors quote."""
    _supervisor: Supervisor

    def __init__(self) -> None:
        self._metrics: Path | None = None
        self._opened = ExitStack()

    def __enter__(self) -> Self:
        try:
            self._metrics = make_metrics_folder()
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """The server's address for predictions from this machine."""
        return f"http://{self.options.address}:{self.ports.inference}"

    @property
    def management_url(self) -> str:
        """The address of the management API, which requires the management token."""
        return f"http://{LOOPBACK}:{self.ports.management}"

    @property
    def operator_url(self) -> str:
        """The address of /live, /ready and /metrics."""
        return f"http://{LOOPBACK}:{self.ports.metrics}"

    @property
    def key_file(self) -> Path:
        """The file with the management token and, if predictions require a token, with one for predictions."""
        return self.folder / "key_file.json"

    @property
    def metrics_folder(self) -> Path:
        """The folder of the workers' metrics; the server must have been started."""
        assert self._metrics is not None, "the server has not been started"
        return self._metrics

    def prediction_url(self, archive: Path) -> str:
        """The URL for predictions of an archive's model."""
        (name,) = [served.name for served in self.archives if served.path.name == archive.name]
        return f"{self.url}/predictions/{name}"

    def token(self, kind: str) -> str | None:
        """The token of kind `inference` or `management`; None if predictions require no token.

        Raises: ServerError if the key file does not exist yet.
        """
        return None if kind == "inference" and not self.options.wants_token else read_key(self.key_file, kind)

    def management(self) -> Management:
        """A connection to the management API."""
        return Management(self.management_url, token=self.token("management"))

    def health(self) -> Health:
        """The health that /live and /ready report, according to the supervisor's last look at the workers."""
        health = self._supervisor.health()
        if (self.signs / ALL).exists():
            return replace(health, is_ready=False, reason="the server is stopping")
        return health

    @abstractmethod
    def metrics(self) -> bytes:
        """The content of /metrics in Prometheus' text format: the metrics of the workers, dead ones included."""

    @abstractmethod
    def interface(self) -> Mapping[str, Any]:
        """The OpenAPI document of the interface."""

    @abstractmethod
    def wait(self) -> NoReturn:
        """Waits while the server runs. Raises: ServerError when it ends by itself, or cannot answer any more."""

    def drain(self, seconds: float) -> bool:
        """Makes the workers refuse new requests with 503, and waits until all open requests are answered.

        Returns False if requests are still open after `seconds`. The caller must stop the server in both cases.
        """
        (self.signs / ALL).touch()
        return wait_until_idle(lambda: total(self.metrics_folder, OPEN_REQUESTS), seconds=seconds)

    @abstractmethod
    def processes(self) -> list[psutil.Process]:
        """The server's running processes besides the calling one."""

    def log_tail(self) -> str:
        """The last lines of each log."""
        return "\n".join(
            line for name in self._log_names for line in read_log(self.logs / name).splitlines()[-LOG_LINES_IN_ERRORS:]
        )

    @abstractmethod
    def stop(self) -> None:
        """Ends all processes of the server, then removes its folders. Termination signals are ignored meanwhile."""

    @abstractmethod
    def _start(self) -> None:
        """Starts the server, and returns when it is ready. The caller stops it if this fails."""

    def _remove_folders(self) -> None:
        for folder in (self.folder, self._metrics):
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)
