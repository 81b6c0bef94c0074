"""Complete recipes by name; `--set` changes single fields of one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace

from training.objectives import Objective, find_objective
from training.recipe import Schedule, Sgd, TrainingRecipe
from zoo.errors import UnknownNameError


def quick(objective: Objective) -> TrainingRecipe:
    """Minutes on two cores for small pictures: few epochs, everything warmed up, gradients clipped."""
    if "warmup_epochs" in {entry.name for entry in fields(objective)}:
        objective = replace(objective, warmup_epochs=2.0)
    return TrainingRecipe(
        objective=objective,
        epochs=8,
        batch_size=32,
        optimizer=Sgd(lr=0.02),
        schedule=Schedule(name="cosine", warmup_epochs=1.0),
        gradient_clip_norm=10.0,
    )


def paper(objective: Objective) -> TrainingRecipe:
    """The transfer study's appendix A at one point of its grid: learning rate dropped twice when validation stalls."""
    return TrainingRecipe(
        objective=objective,
        epochs=300,
        batch_size=64,
        optimizer=Sgd(lr=0.01),
        schedule=Schedule(name="plateau", patience=30, factor=0.1, drops=2),
    )


RECIPES: dict[str, Callable[[Objective], TrainingRecipe]] = {"paper": paper, "quick": quick}


def find_recipe(name: str, *, objective: str) -> TrainingRecipe:
    """The named recipe for the named objective. Raises: UnknownNameError for either, listing the known ones."""
    if name not in RECIPES:
        raise UnknownNameError("recipe", name, RECIPES)
    return RECIPES[name](find_objective(objective)())
