"""Reduced tasks: some of a task's classes, or a limited number of labelled images per class."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from training.tasks.task import LabelledImages, Subset, Task
from zoo.errors import TaskError, UnknownNameError

MARK = "#"
"""Separates a task's name from the selected classes."""


class RelabelledSubset(Subset):
    """The pictures of some classes in their original order; `new_of` maps the kept classes to their new numbers."""

    def __init__(self, images: LabelledImages, new_of: Mapping[int, int]) -> None:
        super().__init__(images, [index for index, label in enumerate(images.labels) if label in new_of])
        self.labels = [new_of[label] for label in self.labels]


def class_subset(task: Task, classes: Sequence[str]) -> Task:
    """The task with only these classes, given by name or number and renumbered from 0 in the given order.

    The new task's name ends in the old class numbers, and its `split` records them as `class_subset`. Names take
    precedence over numbers: `3` selects a class that is named 3, if there is one.

    Raises: UnknownNameError for a class that the task does not have; TaskError for fewer than two classes or a repeated
    class.
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
    """`NAME#A,B` split into `NAME` and the selected classes; without `#` there are none.

    Raises: TaskError if a class is empty.
    """
    task, mark, selection = name.rpartition(MARK)
    if not mark:
        return name, []
    classes = [name.strip() for name in selection.split(",")]
    if not all(classes):
        raise TaskError(f"{task}{MARK} takes class names or numbers separated by commas, got {selection!r}")
    return task, classes


def _number_of(task: Task, name: str) -> int:
    if name in task.class_names:
        return task.class_names.index(name)
    if name.isdecimal() and int(name) < task.num_classes:
        return int(name)
    raise UnknownNameError(f"class of {task.name}, by name or number,", name, task.class_names)


def limit_per_class(task: Task, count: int, *, seed: int) -> Task:
    """The task with at most `count` training pictures per class; the test set is unchanged.

    With one seed, the pictures kept at a smaller count are among those kept at a larger one. `split` records them as
    `limit_per_class`: positions in `task.train`.

    Raises: TaskError if `count` is less than 1.
    """
    if count < 1:
        raise TaskError(f"the limit must be at least 1 image per class, got {count}")
    rng = np.random.Generator(np.random.PCG64(seed))
    labels = np.asarray(task.train.labels)
    kept: list[int] = []
    for label in np.unique(labels):
        kept += rng.permutation(np.flatnonzero(labels == label))[:count].tolist()
    kept.sort()
    record = {"count": count, "seed": seed, "kept": kept}
    digest = hashlib.sha256(f"{task.digest} limit_per_class {count} {seed}".encode()).hexdigest()
    return replace(task, train=Subset(task.train, kept), split={**task.split, "limit_per_class": record}, digest=digest)
