"""Starts the actors and tasks of a server in the cluster, all with the same settings."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from serving.front.sources import CheckpointSource
from serving.ray_server.actors import Counts, Replica, adopted
from serving.ray_server.messages import ReplicaSettings
from serving.server.model_store import Archive
from zoo.errors import ServerError, ZooError

METRICS = "PROMETHEUS_MULTIPROC_DIR"
MOST_CALLS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """What the actors of a server have in common. The process must be connected to a cluster.

    `num_cpus`, `num_gpus`: what a replica takes of the cluster. `environment`: variables of all processes.
    `temporary`: a folder for the files of a replica, on its machine. `archives`, `families`: folders of the server.
    """

    num_cpus: float
    num_gpus: float
    environment: Mapping[str, str]
    temporary: Path
    archives: Path
    families: Path
    noise_secret: bytes = field(repr=False)

    def counts(self) -> Any:
        """The actor that counts the questions about each image. Ray starts it again when it dies."""
        options = {**self._here(), "max_restarts": -1, "max_task_retries": -1}
        return ray.remote(Counts).options(**options).remote(self.families)

    def adopt(self, source: CheckpointSource | Path) -> tuple[Any, Any]:
        """References to the archive of a checkpoint or at a path, and to its content."""
        archive, content = ray.remote(adopted).options(**self._here(), num_returns=2).remote(source, self.archives)
        return archive, content

    def replica(self) -> Any:
        """A new replica, which imports PyTorch and waits for its model."""
        folder = self.temporary / f"zoo-replica-{uuid.uuid4().hex}"
        return (
            ray.remote(Replica)
            .options(
                num_cpus=self.num_cpus,
                num_gpus=self.num_gpus,
                max_restarts=0,  # the pool replaces it, and knows when another one is ready
                max_concurrency=MOST_CALLS,
                runtime_env={"env_vars": {**self.environment, METRICS: str(folder)}},
            )
            .remote()
        )

    def load(self, replica: Any, archive: Archive, content: Any, counts: Any) -> Any:
        """A reference to what the replica reports when it has loaded the archive."""
        settings = ReplicaSettings(archive=archive, noise_secret=self.noise_secret)
        return replica.load.remote(settings, content, counts)

    def _here(self) -> dict[str, Any]:
        """The options of what runs on this machine and takes no processor of the cluster."""
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        return {"num_cpus": 0, "scheduling_strategy": here, "runtime_env": {"env_vars": dict(self.environment)}}


def error_of(error: Exception) -> ZooError:
    """The error of this project that a call into the cluster raised, or a ServerError that says what happened."""
    if isinstance(error, ray.exceptions.RayTaskError):
        return error.cause if isinstance(error.cause, ZooError) else ServerError(f"a replica failed: {error.cause}")
    first_line = next(iter(str(error).strip().splitlines()), type(error).__name__)
    return error if isinstance(error, ZooError) else ServerError(f"a replica has ended: {first_line}")
