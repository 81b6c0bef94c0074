"""From the words of a command to a starting point and a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

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
