"""Work in pieces on the workers of a Ray cluster. What a piece is, and what the results are for, is decided elsewhere.

A piece whose worker ends, for example because its memory is full or its machine is gone, is computed again by another.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import ray
import torch
from ray.exceptions import RayError, RayTaskError

from zoo.errors import RequestError, ZooError

Material = TypeVar("Material")
Opened = TypeVar("Opened")
Piece = TypeVar("Piece")
Result = TypeVar("Result")

MAX_RETRIES = 3
"""How often a piece is computed again whose worker has ended."""


@dataclass(frozen=True, slots=True)
class RayTasks:
    """The workers of the cluster that this process is connected to: `num_workers` tasks compute at a time."""

    num_workers: int
    num_cpus: int
    """The processors that a task reserves, and its threads unless OMP_NUM_THREADS says otherwise."""
    num_gpus: int

    def results(
        self,
        opening: Callable[[Material], Opened],
        material: Material,
        work: Callable[[Opened, Piece], Result],
        next_piece: Callable[[], Piece | None],
    ) -> Iterator[Result]:
        """Yields `work(opening(material), piece)` of each piece as soon as it is computed, in any order.

        Args:
            opening: Makes of the material what the work needs, once per worker process. A function of a module.
            material: What all pieces have in common. The cluster's object store keeps one copy per machine.
            work: Computes a piece. A function of a module.
            next_piece: The next piece; None if there is none now. It is called again after each result.
        Raises: ZooError or RequestError with the message of a piece's; ZooError if its workers ended MAX_RETRIES + 1
        times.
        """
        options = {"num_cpus": self.num_cpus, "num_gpus": self.num_gpus, "max_retries": MAX_RETRIES}
        compute = ray.remote(**options)(_compute)
        shared = [ray.put(material)]  # in a list, because Ray would load an argument for each task
        num_threads = int(os.environ.get("OMP_NUM_THREADS") or self.num_cpus)
        pending: list[Any] = []
        try:
            while True:
                while len(pending) < self.num_workers and (piece := next_piece()) is not None:
                    pending.append(compute.remote(opening, shared, work, piece, num_threads))
                if not pending:
                    return
                (ready, *_), _ = ray.wait(pending)
                pending.remove(ready)
                yield cast(Result, _result(ready))
        finally:
            for reference in pending:
                ray.cancel(reference, force=True)


def ray_tasks(num_workers: int | None, *, device_type: str) -> RayTasks:
    """The workers of the cluster that this process is connected to.

    Args:
        num_workers: Tasks at a time; None for one per GPU, or per processor if the device is a CPU.
        device_type: `cuda` reserves a GPU for each task.
    Raises: ZooError if the cluster has no such device.
    """
    unit = "GPU" if device_type == "cuda" else "CPU"
    per_node = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    available = int(sum(resources.get(unit, 0) for resources in per_node))
    if available < 1:
        raise ZooError(f"no machine of the Ray cluster has a {unit}: give another --device")
    num_workers = num_workers or available
    counts = [int(resources["CPU"]) for resources in per_node if resources.get("CPU", 0) >= 1]
    num_cpus = min(sum(counts) // num_workers, *counts) if counts else 0
    return RayTasks(num_workers, max(1, num_cpus), 1 if unit == "GPU" else 0)


_opened: tuple[str, Any] | None = None
"""What this worker process has opened, and the reference to its material."""


def _compute(
    opening: Callable[[Any], Any], shared: list[Any], work: Callable[[Any, Any], Any], piece: Any, num_threads: int
) -> Any:
    global _opened
    key = f"{opening.__qualname__} {shared[0].hex()}"
    try:
        if _opened is None or _opened[0] != key:
            _opened = None  # frees its memory first
            torch.set_num_threads(num_threads)
            _opened = key, opening(ray.get(shared[0]))
        return work(_opened[1], piece)
    except ZooError as error:  # an error with arguments of its own could not be unpickled
        raise (RequestError if isinstance(error, RequestError) else ZooError)(str(error)) from None


def _result(reference: Any) -> Any:
    try:
        return ray.get(reference)
    except RayTaskError as error:
        raise error.cause from error
    except RayError as error:
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise ZooError(
            f"Ray's workers ended {MAX_RETRIES + 1} times at the same piece of work ({reason.strip()}): what is "
            "finished is kept; run the same command again, with fewer --workers if their memory was full"
        ) from error
