"""The option --engine of commands whose work several processes can share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from training.evaluation.pieces import Workers


@contextmanager
def engine_workers(
    engine: str, *, num_workers: int | None, address: str | None, device: str
) -> Iterator[Workers | None]:
    """The workers that compute during the block; None if this process does, under torchrun with others.

    Args:
        engine: `local` or `ray`.
        num_workers: Tasks at a time, as in `--workers`.
        address: A running cluster, as in `--ray-address`; None for one on this machine, which ends with the block.
        device: As in `--device`.
    Raises: RequestError if the options contradict each other; ZooError if there is no Ray cluster.
    """
    from zoo.errors import RequestError
    from zoo.host.ray_cluster import ray_cluster

    if engine != "ray":
        if num_workers is not None or address is not None:
            raise RequestError("--workers and --ray-address need --engine ray")
        yield None
        return
    if int(os.environ.get("WORLD_SIZE") or 1) > 1:
        raise RequestError("--engine ray starts its own workers: run it without torchrun")
    if device.startswith("cuda:"):
        raise RequestError(f"--engine ray assigns the GPUs: give --device cuda, not {device}")
    num_processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with ray_cluster(num_cpus=max(num_processors, num_workers or 1), address=address):
        from training.ray_tasks import ray_tasks
        from zoo.loading.device import pick_device

        yield ray_tasks(num_workers, device_type=pick_device(device).type)
