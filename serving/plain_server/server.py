"""A plain server: the front process, and one worker process per version of a model on the same machine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from serving.front.server import FrontServer
from serving.front.sources import CheckpointSource
from serving.plain_server.settings import WorkerSettings
from serving.plain_server.starting import StartedProcess, environment_of_workers
from serving.plain_server.worker_process import WorkerProcess
from serving.server.options import ServerOptions
from serving.server.ports import Ports


class PlainServer(FrontServer):
    """A running plain server."""

    def __init__(
        self,
        sources: Sequence[CheckpointSource | Path],
        *,
        started: Sequence[StartedProcess] = (),
        port: int | None = None,
        ports: Ports | None = None,
        options: ServerOptions | None = None,
    ) -> None:
        """As FrontServer; `started` are processes that become the first workers, with `environment_of_workers`."""
        self._started = list(started)
        try:
            super().__init__(sources, port=port, ports=ports, options=options)
        except BaseException:
            self._end_started()
            raise

    def stop(self) -> None:
        super().stop()
        self._end_started()

    def _start_worker(self, source: CheckpointSource | Path) -> WorkerProcess:
        settings = WorkerSettings(
            source=source,
            archives=self.model_store,
            unpacked=self.folder / "unpacked",
            signs=self.signs,
            families=(self.options.families or self.folder / "families").absolute(),
            metrics=self.metrics_folder,
            temporary=self.folder,
            noise_secret=self._noise_secret.hex(),
        )
        environment = environment_of_workers(threads=self.options.threads, num_workers=len(self._sources))
        started = self._started.pop() if self._started else None
        return WorkerProcess(settings, environment=environment, started=started, logs=self._logs, loop=self._loop)

    def _end_started(self) -> None:
        """Ends the processes that did not become workers."""
        while self._started:
            self._started.pop().end()
