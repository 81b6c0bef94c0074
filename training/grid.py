"""A grid of recipes: fields by dotted path, each with the values that are tried."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping

from training.recipe import TrainingRecipe, override
from zoo.errors import RecipeError

Grid = Mapping[str, tuple[str, ...]]
"""Values are written as `--set` takes them."""

VALIDATION_FIELDS = ("objective.sigma", "validation_share", "limit_per_class")
"""Fields that change what validation accuracy measures, so that its values cannot be compared."""


def parse_grid(axes: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """The grid of words such as `optimizer.lr=0.1,0.01`; a value holds no comma.

    Raises: RecipeError if a word is malformed or a field is named twice.
    """
    grid: dict[str, tuple[str, ...]] = {}
    for axis in axes:
        path, equals, text = axis.partition("=")
        values = tuple(value.strip() for value in text.split(","))
        if not equals or not all(values):
            raise RecipeError(f"--grid takes key=value,value,..., for example optimizer.lr=0.1,0.01; got {axis!r}")
        if path.strip() in grid:
            raise RecipeError(f"--grid names {path.strip()} twice: give all its values at once")
        grid[path.strip()] = values
    return grid


def require_valid_grid(grid: Grid, recipe: TrainingRecipe) -> None:
    """Checks a grid around a recipe before anything runs.

    Raises: RecipeError unless all its combinations are recipes, no two values of a field are equal, and validation
    accuracy, which there has to be, means the same for all of them.
    """
    if not recipe.objective.learns_classes:
        raise RecipeError(
            f"{type(recipe.objective).__name__} learns no classes, so no trial has an accuracy to choose by"
        )
    if not recipe.validates:
        raise RecipeError("a search chooses on validation images, so validation_share must be positive; got 0")
    if recipe.limit_per_class == 1:
        raise RecipeError("a search chooses on validation images, and limit_per_class=1 leaves none: give at least 2")
    for path, values in grid.items():
        if path in VALIDATION_FIELDS:
            raise RecipeError(f"{path} changes what validation accuracy measures: search once for each of its values")
        digests = [override(recipe, [f"{path}={value}"]).digest() for value in values]
        if len(set(digests)) < len(digests):
            raise RecipeError(f"--grid {path}={','.join(values)} holds a value twice")
    for point in grid_points(grid):
        override(recipe, assignments(point))


def grid_points(grid: Grid) -> Iterator[dict[str, str]]:
    """Every combination of the grid's values."""
    return (dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values()))


def assignments(point: Mapping[str, str]) -> list[str]:
    """The point as words that `--set` takes."""
    return [f"{path}={value}" for path, value in point.items()]
