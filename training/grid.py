"""A grid of recipes: fields by dotted path, each with the values to try."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping

from training.recipe import TrainingRecipe, override
from zoo.errors import RecipeError

Grid = Mapping[str, tuple[str, ...]]
"""Field paths and their values, written as `--set` takes them."""

VALIDATION_FIELDS = ("objective.sigma", "validation_share", "limit_per_class")
"""Fields that change the meaning of validation accuracy, so its values are not comparable between trials."""


def parse_grid(axes: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """The grid from words such as `optimizer.lr=0.1,0.01`; a value contains no comma.

    Raises: RecipeError if a word is malformed or a field is named twice.
    """
    grid: dict[str, tuple[str, ...]] = {}
    for axis in axes:
        path, equals, text = axis.partition("=")
        values = tuple(value.strip() for value in text.split(","))
        if not equals or not all(values):
            raise RecipeError(f"--grid takes key=value,value,..., for example optimizer.lr=0.1,0.01; got {axis!r}")
        if path.strip() in grid:
            raise RecipeError(f"--grid names {path.strip()} twice: give all its values in one --grid")
        grid[path.strip()] = values
    return grid


def require_valid_grid(grid: Grid, recipe: TrainingRecipe) -> None:
    """Checks a grid around a recipe before any trial runs.

    Raises: RecipeError if the recipe measures no validation accuracy, a combination is not a valid recipe, a field has
    two equal values, or a field changes the meaning of validation accuracy.
    """
    if not recipe.objective.learns_classes:
        raise RecipeError(
            f"{type(recipe.objective).__name__} learns no classes, so its trials have no accuracy to rank by"
        )
    if not recipe.validates:
        raise RecipeError("a search ranks trials by validation accuracy, so validation_share must be positive; got 0")
    if recipe.limit_per_class == 1:
        raise RecipeError("a search needs validation images, and limit_per_class=1 leaves none: set it to at least 2")
    for path, values in grid.items():
        if path in VALIDATION_FIELDS:
            raise RecipeError(f"{path} changes what validation accuracy measures: run one search per value")
        digests = [override(recipe, [f"{path}={value}"]).digest() for value in values]
        if len(set(digests)) < len(digests):
            raise RecipeError(f"--grid {path}={','.join(values)} contains a value twice")
    for point in grid_points(grid):
        override(recipe, assignments(point))


def grid_points(grid: Grid) -> Iterator[dict[str, str]]:
    """All combinations of the grid's values."""
    return (dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values()))


def assignments(point: Mapping[str, str]) -> list[str]:
    """The point as `key=value` words for `--set`."""
    return [f"{path}={value}" for path, value in point.items()]
