"""A running server: an HTTP server in this process, without torch, before workers in other processes."""

from __future__ import annotations

import asyncio
import hmac
import secrets
import shutil
import tempfile
import threading
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any, NoReturn

import psutil

from serving.application.access import Access, TokenFile
from serving.application.routes import application
from serving.application.running import running
from serving.front.fleet import Fleet, ModelWorker
from serving.front.logs import ServerLogs
from serving.front.management import management_api
from serving.front.sources import CheckpointSource
from serving.server.draining import ALL
from serving.server.endpoint import operator_endpoint
from serving.server.engine import Engine
from serving.server.exposition import exposed
from serving.server.keys import read_key, write_keys
from serving.server.logs import EVENTS, WORKER_LOG, require_writable
from serving.server.loopback_server import LoopbackServer
from serving.server.model_store import adopt
from serving.server.options import ServerOptions
from serving.server.ports import LOOPBACK, Ports, is_loopback
from serving.server.signals import ignoring_signals
from serving.server.supervision import Supervisor
from zoo.errors import ServerError

NAMES_OF_THIS_MACHINE = frozenset({LOOPBACK, "localhost"})
LOOK_SECONDS = 0.5
SECRET_BYTES = 32
OWN_CLIENT = "key-file"  # the name, in the log, of clients that send the token of the key file


class FrontServer(Engine):
    """A running server, without its workers, which an engine adds. Use it as a context manager."""

    _log_names = (EVENTS, WORKER_LOG)

    def __init__(
        self,
        sources: Sequence[CheckpointSource | Path],
        *,
        port: int | None = None,
        ports: Ports | None = None,
        options: ServerOptions | None = None,
    ) -> None:
        """Takes archives over, so that nobody can replace them any more.

        Args:
            sources: checkpoints, or .mar files, of different names.
            port: the port of predictions; None selects a free one.
            ports: all ports; overrides `port`.
            options: the operator's options; None uses the defaults.

        Raises: ServerError if an archive is damaged, the port is in use, or the tokens cannot be read; RequestError if
        the host is not an address of this machine, or the logs cannot be written.
        """
        super().__init__()
        self.options = options or ServerOptions()
        self.ports = ports or Ports.find(port, host=self.options.host)
        self._tokens = None if self.options.tokens is None else TokenFile(self.options.tokens)
        self.folder = Path(tempfile.mkdtemp(prefix="zoo-serve-"))
        self.logs = self.folder / "logs" if self.options.logs is None else self.options.logs.absolute()
        self.model_store, self.signs = self.folder / "archives", self.folder / "draining"
        self.archives = []
        self._noise_secret = self.options.noise_secret or secrets.token_bytes(SECRET_BYTES)
        self._loop: asyncio.AbstractEventLoop
        try:
            require_writable(self.logs)
            for folder in (self.model_store, self.signs):
                folder.mkdir()
            self._sources = [
                source
                if isinstance(source, CheckpointSource)
                else adopt(source, self.model_store, weights_sha256=None).path
                for source in sources
            ]
            self._write_keys()
        except BaseException:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise
        self._logs = ServerLogs(self.logs, echoes=self.options.echoes_logs)
        self._fleet = Fleet(self._start_worker)
        self._supervisor = Supervisor(
            lambda: nullcontext(self._fleet), logger=self._logs.events, is_closing=(self.signs / ALL).exists
        )

    def metrics(self) -> bytes:
        """The content of /metrics in Prometheus' text format: the metrics of the workers, dead ones included."""
        return exposed(self.metrics_folder, num_deaths=dict(self._supervisor.watch.num_deaths))

    def interface(self) -> Mapping[str, Any]:
        """The OpenAPI document of the interface, from a worker."""
        return self._fleet.interface

    def wait(self) -> NoReturn:
        """Waits while the server runs. Raises: ServerError when it cannot answer any more."""
        never = threading.Event()
        while self._supervisor.failure is None:
            never.wait(LOOK_SECONDS)
        raise ServerError(f"{self._supervisor.failure}:\n{self.log_tail()}")

    def processes(self) -> list[psutil.Process]:
        """The running workers, and their processes that decode images."""
        pids = {worker.pid for served in self._fleet.versions() for worker in served.workers}
        found = []
        for pid in pids:
            with suppress(psutil.NoSuchProcess):
                worker = psutil.Process(pid)
                found += [worker, *worker.children(recursive=True)]
        return found

    def stop(self) -> None:
        """Ends all workers, then removes the server's folders. Termination signals are ignored meanwhile."""
        with ignoring_signals():
            self._supervisor.stop()
            self._fleet.release()
            self._opened.close()
            self._fleet.stop()
            self._logs.close()
            self._remove_folders()

    def _start(self) -> None:
        self._opened.enter_context(self._logs.collecting())
        app = application(self._fleet.models, describe=self.interface, is_ready=lambda: self.health().is_ready)
        access = Access(app, client_of=self._client_of(), hosts=self._hosts(), log=self._logs.access)
        running_app = running(access, host=self.options.host, port=self.ports.inference)
        self._loop = self._opened.enter_context(running_app).loop
        operator = operator_endpoint(health=self.health, metrics=self.metrics, describe=self.interface)
        self._opened.enter_context(LoopbackServer(self.ports.metrics, operator, name="operator-endpoint"))
        self.archives = self._fleet.load(*self._sources)
        api = management_api(
            self._fleet,
            archives=self.model_store,
            key_file=self.key_file,
            can_switch_models=self.options.can_switch_models,
        )
        self._opened.enter_context(LoopbackServer(self.ports.management, api, name="management"))
        self._supervisor.look()
        self._supervisor.start()

    @abstractmethod
    def _start_worker(self, source: CheckpointSource | Path) -> ModelWorker:
        """Starts the worker of an archive or a checkpoint. It is loading the model when this function returns."""

    def _client_of(self) -> Callable[[str], str | None] | None:
        """The function that names the client of a token; None if predictions need no token."""
        if not self.options.wants_token:
            return None
        own, file = read_key(self.key_file, "inference").encode(), self._tokens

        def client_of(token: str) -> str | None:
            if hmac.compare_digest(token.encode(), own):
                return OWN_CLIENT
            return None if file is None else file.client_of(token)

        return client_of

    def _hosts(self) -> frozenset[str] | None:
        """The host names of requests: this machine's, if only this machine can connect."""
        return NAMES_OF_THIS_MACHINE | {self.options.host} if is_loopback(self.options.host) else None

    def _write_keys(self) -> None:
        write_keys(self.key_file, "management", *(["inference"] if self.options.wants_token else []))
