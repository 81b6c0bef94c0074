"""A recipe in a few lines: the method, and the fields that differ from their defaults."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from training.recipe import TrainingRecipe

MOST_LINES, WIDTH = 10, 79
"""A terminal of 80 columns shows the lines as they are, unless a network's name is long."""
INDENT = "  "


def recipe_lines(recipe: TrainingRecipe) -> list[str]:
    """At most ten lines: method and architecture, then every field that differs from its default."""
    described = recipe.describe()
    method = described["objective"].pop("name")
    default = TrainingRecipe(objective=type(recipe.objective)()).describe()
    default["objective"].pop("name")
    values, defaults = dict(_flat(described)), dict(_flat(default))
    changed = [f"{path}={_words(value)}" for path, value in values.items() if value != defaults.get(path)]
    text = ", ".join(entry for entry in changed if not entry.startswith("architecture="))
    lines = textwrap.wrap(
        text or "none",
        WIDTH,
        initial_indent=INDENT,
        subsequent_indent=INDENT,
        break_long_words=False,
        break_on_hyphens=False,
    )
    first = f"recipe: {method} with {recipe.architecture}; fields unlike their defaults:"
    if len(lines) >= MOST_LINES:
        lines = [*lines[: MOST_LINES - 2], f"{INDENT}and more"]
    return [first, *lines]


def _flat(fields: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in fields.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _words(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, list | tuple):
        return "+".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
