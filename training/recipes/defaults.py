"""The recipe and the starting point of a run whose command names none."""

from __future__ import annotations

from collections import Counter
from importlib.metadata import PackageNotFoundError, distribution

from training.objectives import find_objective
from training.tasks import Task
from zoo.models.catalog import CATALOG, PackageFile

OWN_PICTURES = ("imagefolder", "hf", "openclipart", "tuxpaint")
"""The tasks whose pictures are the user's own, or are few, and for which nobody published a recipe."""
FEW_IMAGES = 1000
"""Below so many labelled training images, the 8 epochs of `quick` are fewer than the 250 steps of `few-labels`."""
RANDOM = "random"
PRETRAINED = "efficientnet_lite0.imagenet"
"""The catalog entry of the default starting point, whose weights are a file of a Python package."""


def default_recipe(task: Task, *, objective: str, limit_per_class: int | None) -> str:
    """The name of the recipe: `few-labels` for own pictures with fewer than 1,000 labels, otherwise `quick`.

    Labels are counted after the limit per class. A method without classes has no labels.
    """
    counts = Counter(task.train.labels).values()
    num_labels = sum(count if limit_per_class is None else min(count, limit_per_class) for count in counts)
    is_own = task.name.partition("#")[0].partition(":")[0] in OWN_PICTURES
    has_few = is_own and num_labels < FEW_IMAGES and find_objective(objective).learns_classes
    return "few-labels" if has_few else "quick"


def default_start(*, recipe: str, architecture: str | None) -> str:
    """The starting point, as in `--init`. This is the one place that chooses it.

    Few labels need one: `few-labels` starts from ImageNet weights if their package is installed, unless the command
    names another `architecture`.
    """
    entry = CATALOG[PRETRAINED]
    fits = recipe == "few-labels" and architecture in (None, entry.architecture)
    return PRETRAINED if fits and isinstance(entry.file, PackageFile) and is_installed(entry.file) else RANDOM


def is_installed(file: PackageFile) -> bool:
    """Whether the package of a catalog entry's file is installed."""
    try:
        distribution(file.distribution)
    except PackageNotFoundError:
        return False
    return True
