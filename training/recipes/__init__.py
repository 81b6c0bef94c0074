"""Complete recipes by name; `--set` changes single fields of a recipe."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from training.objectives import Objective, find_objective
from training.recipe import TrainingRecipe
from training.recipes.few_labels import few_labels, without_starting_point
from training.recipes.paper import FINETUNE_GRID, PAPER_GRID, paper, paper_finetune
from training.recipes.published import LEFT_OUT, published_settings
from training.recipes.quick import quick
from zoo.errors import RecipeError, UnknownNameError

__all__ = [
    "ARCHITECTURE_BY_DEVICE",
    "GENERAL",
    "GRIDS",
    "PAPER_GRID",
    "few_labels",
    "find_recipe",
    "paper",
    "paper_finetune",
    "quick",
    "recipe_names",
    "without_starting_point",
]

GENERAL: Mapping[str, Callable[[Objective], TrainingRecipe]] = {
    "few-labels": few_labels,
    "paper": paper,
    "paper-finetune": paper_finetune,
    "quick": quick,
}
"""Recipes for any method; those but `quick` only for methods that learn classes."""

ARCHITECTURE_BY_DEVICE = ("few-labels", "quick")
"""Recipes for any network, whose default architecture depends on the device. The others are published for one network.
"""

GRIDS: Mapping[str, Mapping[str, tuple[float, ...]]] = {"paper": PAPER_GRID, "paper-finetune": FINETUNE_GRID}
"""The default grids of `zoo search`."""


def find_recipe(name: str, *, objective: str) -> TrainingRecipe:
    """The named recipe for the named method.

    Raises: UnknownNameError for an unknown recipe or method, listing the known names; RecipeError if the method's
    authors published no such recipe.
    """
    kind = find_objective(objective)
    known = recipe_names(objective)
    if name not in known:
        reason = LEFT_OUT.get((objective, name.partition("-")[0]))
        if reason is not None:
            raise RecipeError(f"{objective} has no recipe {name}: {reason}; known: {', '.join(known)}")
        raise UnknownNameError("recipe", name, known)
    if name in GENERAL:
        return GENERAL[name](kind())
    return published_settings(objective)[name].recipe()


def recipe_names(objective: str) -> list[str]:
    """The sorted names of the named method's recipes."""
    general = GENERAL if find_objective(objective).learns_classes else ("quick",)
    return sorted([*general, *published_settings(objective)])
