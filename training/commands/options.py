"""Options that several commands take: checked, parsed, and resolved to a starting point and a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from training.tasks import Task
    from zoo.checkpoints.checkpoint import Checkpoint


def parse_numbers(text: str, option: str) -> list[float]:
    """Numbers of at least 0 with commas between. Raises: RequestError that names the option."""
    from zoo.errors import RequestError

    try:
        numbers = [float(part) for part in text.split(",") if part.strip()]
    except ValueError:
        numbers = [-1.0]
    if any(not 0 <= number < float("inf") for number in numbers):
        raise RequestError(f"{option} takes numbers of at least 0 with commas between, got {text!r}")
    return numbers


def require_recordable(model: str, record: bool, *, sigma: float | None = None) -> None:
    """Raises: RequestError if a result cannot be written into `model`; CertificationError if it gives none."""
    from zoo.errors import CertificationError, RequestError

    if record and not Path(model).is_dir():
        raise RequestError(
            f"--record writes into a checkpoint directory, and {model} is none: pull it first, zoo pull {model} DIR"
        )
    if record and sigma == 0:
        raise CertificationError("--record keeps certificates, and sigma 0 gives none: leave one of them out")


def require_same_classes(checkpoint: Checkpoint, task: Task) -> None:
    """Raises: TaskError unless the checkpoint answers the classes of the task; RequestError if it answers none."""
    from zoo.checkpoints.checkpoint import require_trained_head
    from zoo.errors import TaskError

    require_trained_head(checkpoint)
    if checkpoint.spec.certified.class_names != task.class_names:
        raise TaskError(
            f"{checkpoint.spec.name} was trained on the {checkpoint.spec.num_classes} classes of "
            f"{checkpoint.spec.certified.task}, not on the {task.num_classes} of {task.name}: give --task of the former"
        )


if TYPE_CHECKING:
    from training.recipe import TrainingRecipe
    from zoo.checkpoints.checkpoint import Checkpoint


def find_starting_point(init: str) -> Checkpoint | None:
    """The checkpoint that `--init` names; None for random weights. Raises: RequestError, CheckpointError, HubError."""
    from zoo.errors import RequestError
    from zoo.loading.locate import locate

    if init == "random":
        return None
    if Path(init).is_file():
        raise RequestError(
            f"--init {init} is a file: import it first, zoo import {init} --normalization ... --output DIR, "
            "and start from DIR"
        )
    return locate(init)


def resolve_recipe(
    name: str, objective: str, parent: Checkpoint | None, asked: dict[str, str | int | None], assignments: list[str]
) -> TrainingRecipe:
    """The named recipe, with the starting point's architecture, then the options that were given, then --set.

    Raises: RecipeError, UnknownNameError.
    """
    from dataclasses import replace

    from training.recipe import override
    from training.recipes import find_recipe
    from zoo.models.architecture import find_architecture

    recipe = find_recipe(name, objective=objective)
    if parent is not None:
        recipe = replace(recipe, architecture=parent.spec.architecture)
    given = [f"{field}={value}" for field, value in asked.items() if value is not None]
    recipe = override(recipe, [*given, *assignments])
    find_architecture(recipe.architecture)
    return recipe
