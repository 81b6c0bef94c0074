"""A server whose replicas are actors of a Ray cluster: the front process, on one machine or on a node of many."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import ray

from serving.front.fleet import ModelWorker
from serving.front.server import FrontServer
from serving.front.sources import CheckpointSource
from serving.ray_server.launch import Launch
from serving.ray_server.metrics import ReplicaMetrics
from serving.ray_server.pool import ReplicaPool
from serving.ray_server.scaling import Bounds
from serving.server.options import ServerOptions
from serving.server.ports import Ports
from serving.server.signals import ignoring_signals
from zoo.host.cores import num_cores
from zoo.host.ray_cluster import ray_cluster

OUR_PACKAGES = Path(__file__).parents[2]
REMOTE_TEMPORARY = Path("/tmp")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterOptions:
    """The cluster of a server. `address`: that of a running cluster; None for one that ends with the server.

    `replicas`: the bounds of the number of replicas per version of a model.
    """

    address: str | None = None
    replicas: Bounds = field(default_factory=Bounds)


class RayServer(FrontServer):
    """A running server whose replicas are in a Ray cluster. One process can run one such server at a time."""

    def __init__(
        self,
        sources: Sequence[CheckpointSource | Path],
        *,
        cluster: ClusterOptions | None = None,
        port: int | None = None,
        ports: Ports | None = None,
        options: ServerOptions | None = None,
    ) -> None:
        """As FrontServer; `cluster` None starts a cluster on this machine with one replica per version."""
        super().__init__(sources, port=port, ports=ports, options=options)
        self.cluster = cluster or ClusterOptions()
        self._launch: Launch
        self._counts: Any = None
        self._replica_metrics: ReplicaMetrics
        self._connected = ExitStack()

    def processes(self) -> list[psutil.Process]:
        """The processes of a cluster on this machine. Those of another cluster do not belong to the server."""
        return psutil.Process().children(recursive=True)

    def stop(self) -> None:
        """Ends all replicas, and the cluster if it was started for them. Termination signals are ignored meanwhile."""
        with ignoring_signals():
            super().stop()
            self._connected.close()

    def _start(self) -> None:
        self._replica_metrics = self._connected.enter_context(closing(ReplicaMetrics(self.metrics_folder)))
        self._connected.enter_context(ray_cluster(address=self.cluster.address))
        self._launch = self._launched()
        self._counts = self._launch.counts()
        super()._start()

    def _start_worker(self, source: CheckpointSource | Path) -> ModelWorker:
        return ReplicaPool(
            source,
            launch=self._launch,
            counts=self._counts,
            bounds=self.cluster.replicas,
            signs=self.signs,
            metrics=self._replica_metrics,
            logs=self._logs,
        )

    def _launched(self) -> Launch:
        is_local = self.cluster.address is None
        threads = self._threads(is_local=is_local)
        wants_gpu = ray.cluster_resources().get("GPU", 0) > 0 and any(_may_use_gpu(each) for each in self._sources)
        return Launch(
            num_cpus=0 if is_local else threads,  # a cluster of our own runs nothing else
            num_gpus=1 if wants_gpu else 0,
            environment=self._environment(threads=threads, is_local=is_local),
            temporary=self.folder if is_local else REMOTE_TEMPORARY,
            archives=self.model_store,
            families=(self.options.families or self.folder / "families").absolute(),
            noise_secret=self._noise_secret,
        )

    def _threads(self, *, is_local: bool) -> int:
        """The threads of a replica: as given, or one in a cluster, or its share of this machine's cores."""
        if self.options.threads is not None:
            return self.options.threads
        num_replicas = self.cluster.replicas.most * max(1, len(self._sources))
        return max(1, num_cores() // num_replicas) if is_local else 1

    def _environment(self, *, threads: int, is_local: bool) -> dict[str, str]:
        own = {"PYTHONWARNINGS": "ignore", "OMP_NUM_THREADS": str(threads)}  # a warning may quote a client's data
        if is_local:
            packages = os.pathsep.join(filter(None, [str(OUR_PACKAGES), os.environ.get("PYTHONPATH")]))
            own |= {"PYTHONPATH": packages, "TMPDIR": str(self.folder)}
        return own


def _may_use_gpu(source: CheckpointSource | Path) -> bool:
    return isinstance(source, Path) or source.device != "cpu"
