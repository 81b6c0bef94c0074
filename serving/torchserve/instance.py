"""A TorchServe instance with its own temporary folder and free ports, which leaves nothing behind when stopped."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import psutil

from serving.server.draining import ALL
from serving.server.endpoint import operator_endpoint
from serving.server.engine import Engine
from serving.server.exposition import exposed
from serving.server.health import Health
from serving.server.keys import write_keys
from serving.server.logs import (
    EVENTS,
    SERVER_LOG,
    WORKER_LOG,
    event_logger,
    read_log,
    reason_of_death,
    require_writable,
)
from serving.server.loopback_server import LoopbackServer
from serving.server.management import Management
from serving.server.model_store import adopt
from serving.server.options import ServerOptions
from serving.server.ports import Ports
from serving.server.signals import deferring_signals, ignoring_signals
from serving.server.supervision import Supervisor
from serving.torchserve import configuration
from serving.torchserve.log4j import log4j_configuration
from serving.torchserve.management_relay import management_relay
from serving.torchserve.processes import ProcessGroup
from zoo.errors import ServerError

STARTUP_SECONDS = 300.0
POLL_SECONDS = 0.1
LONGEST_SOCKET_PATH = 107  # sun_path holds 108 bytes, the last of them 0


class TorchServe(Engine):
    """A TorchServe instance. Use it as a context manager: it is ready inside and ends all its processes after."""

    _log_names = (SERVER_LOG, EVENTS, WORKER_LOG)

    def __init__(
        self,
        archives: Sequence[Path],
        *,
        weights_sha256: Sequence[str] | None = None,
        port: int | None = None,
        ports: Ports | None = None,
        options: ServerOptions | None = None,
    ) -> None:
        """Takes the archives over, so that nobody can replace them any more.

        Args:
            archives: .mar files of different names, at most one per model and version.
            weights_sha256: the SHA-256 that the weights in each archive must have; None accepts any.
            port: the port of predictions; None selects a free one.
            ports: all ports; overrides `port`.
            options: the operator's options; None uses the defaults.

        Raises: ServerError if an archive is damaged or holds other weights, the port is in use, or the temporary
        folder's path is too long; RequestError if the host is not an address of this machine, or the logs cannot be
        written.
        """
        super().__init__()
        self.options = options or ServerOptions()
        self.ports = ports or Ports.find(port, host=self.options.host)
        self.folder = _make_folder()
        self.logs = self.folder / "logs" if self.options.logs is None else self.options.logs.absolute()
        self.model_store = self.folder / "archives"
        self.signs = self.folder / "draining"
        self._processes: ProcessGroup | None = None
        self._worker_log_before = 0
        self._events = event_logger(self.logs, echoes=self.options.echoes_logs)
        self._supervisor = Supervisor(self._open_socket, logger=self._events, is_closing=(self.signs / ALL).exists)
        hashes: Sequence[str | None] = weights_sha256 or [None] * len(archives)
        try:
            require_writable(self.logs)
            self.model_store.mkdir()
            self.archives = [
                adopt(path, self.model_store, weights_sha256=sha256)
                for path, sha256 in zip(archives, hashes, strict=True)
            ]
        except BaseException:
            self.stop()
            raise

    def health(self) -> Health:
        """The health that /live and /ready report, according to the supervisor's last look at the server."""
        if self._processes is not None and self._processes.has_ended():
            return Health.dead(self._processes.how_it_ended())
        return super().health()

    def metrics(self) -> bytes:
        """The content of /metrics in Prometheus' text format: the workers' metrics, then TorchServe's own."""
        deaths = dict(self._supervisor.watch.num_deaths)
        return exposed(self.metrics_folder, num_deaths=deaths) + self._torchserve_metrics()

    def interface(self) -> dict[str, Any]:
        """The OpenAPI document of the interface."""
        # imports torch, which `zoo models` and `zoo health` need not
        from serving.description import openapi_document

        return openapi_document()

    def wait(self) -> NoReturn:
        """Waits while the server runs. Raises: ServerError when it ends by itself, or cannot answer any more."""
        assert self._processes is not None
        while not self._processes.wait(POLL_SECONDS):
            if self._supervisor.failure is not None:
                raise ServerError(f"{self._supervisor.failure}:\n{self.log_tail()}")
        problem = self._processes.how_it_ended()
        self._events.error(problem)
        raise ServerError(f"{problem}:\n{self.log_tail()}")

    def processes(self) -> list[psutil.Process]:
        """The server's running processes: TorchServe's Java process and the workers."""
        return [] if self._processes is None else self._processes.living()

    def stop(self) -> None:
        """Ends all processes of the server, then removes its folders. Termination signals are ignored meanwhile."""
        with ignoring_signals():
            self._supervisor.stop()
            if self._processes is not None:
                self._processes.end()
            self._opened.close()
            self._remove_folders()

    def _start(self) -> None:
        for folder in (configuration.temporary_folder(self.folder), self.signs):
            folder.mkdir()
        if not self.options.wants_token:
            write_keys(self.key_file, "management")
        self._worker_log_before = len(read_log(self.logs / WORKER_LOG))
        log4j = log4j_configuration(self.logs, echoes=self.options.echoes_logs)
        (self.folder / configuration.LOG4J).write_text(log4j)
        properties = configuration.properties(self.folder, self.ports, self.options)
        (self.folder / configuration.PROPERTIES).write_text(properties)
        operator = operator_endpoint(health=self.health, metrics=self.metrics, describe=self.interface)
        self._opened.enter_context(LoopbackServer(self.ports.metrics, operator, name="operator-endpoint"))
        relay = management_relay(self.folder)
        self._opened.enter_context(LoopbackServer(self.ports.management, relay, name="management"))
        output = self._opened.enter_context((self.logs / SERVER_LOG).open("ab"))
        with deferring_signals():
            java = subprocess.Popen(
                configuration.command(self.folder, self.model_store, self.archives),
                cwd=self.folder,
                env=configuration.environment(
                    self.folder,
                    logs=self.logs,
                    metrics=self.metrics_folder,
                    signs=self.signs,
                    options=self.options,
                    num_workers=len(self.archives),
                ),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=None if self.options.echoes_logs else output,
                start_new_session=True,  # Ctrl-C reaches only this process, which stops the server in order
            )
            self._processes = ProcessGroup(java)
        self._wait_until_ready()

    def _wait_until_ready(self) -> None:
        """Waits until every model has a loaded worker. Raises: ServerError if a model cannot be loaded.

        TorchServe itself would retry indefinitely and report Healthy at /ping.
        """
        assert self._processes is not None
        expected = {(archive.name, archive.version) for archive in self.archives}
        deadline = time.monotonic() + STARTUP_SECONDS
        while True:
            deaths = self._supervisor.look()
            health = self.health()
            if self._processes.has_ended():
                raise ServerError(f"{self._processes.how_it_ended()} while it was starting:\n{self.log_tail()}")
            if (reason := reason_of_death(read_log(self.logs / WORKER_LOG)[self._worker_log_before :])) is not None:
                raise ServerError(f"a model cannot be loaded: {reason}")
            if deaths:  # without a reason in the log, whose disk may be full
                name, pid = deaths[0].name, deaths[0].pid
                raise ServerError(f"{name} cannot be loaded: its worker (process {pid}) died:\n{self.log_tail()}")
            refused = expected - {(served.name, served.version) for served in health.versions}
            if health.is_live and refused:
                raise ServerError(f"TorchServe does not accept the archive of {refused.pop()[0]}:\n{self.log_tail()}")
            if health.is_ready:
                self._supervisor.start()
                return
            if time.monotonic() > deadline:
                raise ServerError(f"{health.reason} after {STARTUP_SECONDS:.0f} s:\n{self.log_tail()}")
            time.sleep(POLL_SECONDS)

    def _open_socket(self) -> Management:
        socket = configuration.management_socket(self.folder)
        return Management("http://localhost", token=self.token("management"), socket=socket)

    def _torchserve_metrics(self) -> bytes:
        import httpx

        transport = httpx.HTTPTransport(uds=str(configuration.metrics_socket(self.folder)), verify=False)
        try:
            with httpx.Client(transport=transport, timeout=5.0, trust_env=False) as client:
                return client.get("http://localhost/metrics").raise_for_status().content
        except httpx.HTTPError:
            return b""


def _make_folder() -> Path:
    """A new temporary folder whose path is short enough for the Unix sockets of TorchServe's workers."""
    folder = Path(tempfile.mkdtemp(prefix="zoo-serve-"))
    if len(str(folder / "tmp" / ".ts.sock.9999")) > LONGEST_SOCKET_PATH:
        folder.rmdir()
        raise ServerError(
            f"the temporary folder {folder.parent} has too long a path for a socket: set TMPDIR to a shorter path"
        )
    return folder
