"""Parts of a task: some of its classes, or a limited number of labelled images per class."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from training.tasks.task import LabelledImages, Subset, Task
from zoo.errors import TaskError, UnknownNameError

MARK = "#"
"""Stands between a task's name and the classes that are taken of it."""


class RelabelledSubset(Subset):
    """The pictures of some classes, in their order; `new_of` is the new number of each old class that is kept."""

    def __init__(self, images: LabelledImages, new_of: Mapping[int, int]) -> None:
        super().__init__(images, [index for index, label in enumerate(images.labels) if label in new_of])
        self.labels = [new_of[label] for label in self.labels]


def class_subset(task: Task, classes: Sequence[str]) -> Task:
    """The task with only these classes, by name or number, renumbered from 0 in the order given.

    Its name ends in their old numbers, its `split` holds them as `class_subset`. A name goes before a number: a class
    that is called 3 is the one that `3` means.

    Raises: UnknownNameError for a class that the task has not; TaskError for fewer than two classes, or one twice.
    """
    numbers = [_number_of(task, name) for name in classes]
    if len(set(numbers)) < max(2, len(numbers)):
        raise TaskError(f"{task.name}{MARK} takes at least two classes, each once, got {','.join(classes)!r}")
    new_of = {old: new for new, old in enumerate(numbers)}
    selection = ",".join(map(str, numbers))
    return replace(
        task,
        name=f"{task.name}{MARK}{selection}",
        class_names=tuple(task.class_names[number] for number in numbers),
        train=RelabelledSubset(task.train, new_of),
        test=RelabelledSubset(task.test, new_of),
        split={**task.split, "class_subset": numbers},
        digest=hashlib.sha256(f"{task.digest} class_subset {selection}".encode()).hexdigest(),
    )


def split_selection(name: str) -> tuple[str, list[str]]:
    """`NAME#A,B` as `NAME` and its classes; a name without `#` has none.

    Raises: TaskError if a class is left empty.
    """
    task, mark, selection = name.rpartition(MARK)
    if not mark:
        return name, []
    classes = [name.strip() for name in selection.split(",")]
    if not all(classes):
        raise TaskError(f"{task}{MARK} takes classes with commas between, by name or number, got {selection!r}")
    return task, classes


def _number_of(task: Task, name: str) -> int:
    if name in task.class_names:
        return task.class_names.index(name)
    if name.isdecimal() and int(name) < task.num_classes:
        return int(name)
    raise UnknownNameError(f"class of {task.name}, by name or number,", name, task.class_names)


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
