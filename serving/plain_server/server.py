"""A plain server: the front process, and one worker process per version of a model on the same machine."""

from __future__ import annotations

import os
from pathlib import Path

from serving.front.server import FrontServer
from serving.front.sources import CheckpointSource
from serving.plain_server.settings import WorkerSettings
from serving.plain_server.worker_process import WorkerProcess
from zoo.host.cores import num_cores

METRICS = "PROMETHEUS_MULTIPROC_DIR"
OUR_PACKAGES = Path(__file__).parents[2]


class PlainServer(FrontServer):
    """A running plain server."""

    def _start_worker(self, source: CheckpointSource | Path) -> WorkerProcess:
        settings = WorkerSettings(
            source=source,
            archives=self.model_store,
            unpacked=self.folder / "unpacked",
            signs=self.signs,
            families=(self.options.families or self.folder / "families").absolute(),
            noise_secret=self._noise_secret.hex(),
        )
        return WorkerProcess(settings, environment=self._environment(), logs=self._logs, loop=self._loop)

    def _environment(self) -> dict[str, str]:
        own = {METRICS: str(self.metrics_folder), "PYTHONUNBUFFERED": "1", "TMPDIR": str(self.folder)}
        own |= {"PYTHONWARNINGS": "ignore"}  # a library's warning may quote a client's data
        # Our packages come first, so that the worker imports them. An empty entry would mean the working directory.
        own |= {"PYTHONPATH": os.pathsep.join(filter(None, [str(OUR_PACKAGES), os.environ.get("PYTHONPATH")]))}
        if self.options.threads is not None or "OMP_NUM_THREADS" not in os.environ:
            own["OMP_NUM_THREADS"] = str(self.options.threads or max(1, num_cores() // max(1, len(self._sources))))
        return {**os.environ, **own}
