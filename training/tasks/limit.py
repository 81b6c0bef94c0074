"""Low-data scenarios: few labelled pictures of every class."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np

from training.tasks.task import Subset, Task
from zoo.errors import TaskError


def limit_per_class(task: Task, count: int, *, seed: int) -> Task:
    """The task with at most `count` training pictures of every class; the test set stays as it is.

    With one seed, the pictures kept at a smaller count are among those kept at a larger one. `split` records them as
    `limit_per_class`: positions in `task.train`.

    Raises: TaskError if `count` is less than 1.
    """
    if count < 1:
        raise TaskError(f"the limit must leave at least 1 image of every class, got {count}")
    rng = np.random.Generator(np.random.PCG64(seed))
    labels = np.asarray(task.train.labels)
    kept: list[int] = []
    for label in np.unique(labels):
        kept += rng.permutation(np.flatnonzero(labels == label))[:count].tolist()
    kept.sort()
    record = {"count": count, "seed": seed, "kept": kept}
    digest = hashlib.sha256(f"{task.digest} limit_per_class {count} {seed}".encode()).hexdigest()
    return replace(task, train=Subset(task.train, kept), split={**task.split, "limit_per_class": record}, digest=digest)
