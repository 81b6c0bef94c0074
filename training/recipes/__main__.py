"""Prints the tables of docs/reference/recipes.md: `python -m training.recipes`."""

from __future__ import annotations

from dataclasses import asdict

import typer

from training.objectives import OBJECTIVES, Objective
from training.objectives.table import objective_name
from training.recipe import Schedule, Sgd, TrainingRecipe
from training.recipes import GENERAL, GRIDS
from training.recipes.published import PUBLISHED
from training.recipes.quick import tuned


def tables() -> str:
    """The three tables in Markdown."""
    return "\n\n".join([general_table(), quick_changes(), published_table()])


def general_table() -> str:
    """The table of recipes for any method."""
    head = "| recipe | epochs | batch | lr | weight decay | schedule | default grid |"
    rows = []
    for name, make in GENERAL.items():
        grid = "; ".join(f"{field} {', '.join(map(str, values))}" for field, values in GRIDS.get(name, {}).items())
        rows.append(f"| `{name}` | {_numbers(make(OBJECTIVES['standard']()))} | {grid or 'none'} |")
    return "\n".join([head, _rule(head), *rows])


def quick_changes() -> str:
    """The table of hyper-parameters that `quick` changes, by method."""
    lines = ["| method | `quick` sets |", "|---|---|"]
    for name, kind in OBJECTIVES.items():
        before, after = asdict(kind()), asdict(tuned(kind()))
        changed = [f"{field} {_short(value)}" for field, value in after.items() if before[field] != value]
        if changed:
            lines.append(f"| `{name}` | {', '.join(changed)} |")
    return "\n".join(lines)


def published_table() -> str:
    """The table of published settings with their sources."""
    numbers = "epochs | batch | lr | weight decay | schedule"
    head = f"| method | recipe | hyper-parameters | {numbers} | normalization | source |"
    rows = [
        f"| `{objective_name(row.objective)}` | `{row.name}` | {_fields(row.objective)} | {_numbers(row.recipe())} "
        f"| {row.normalization} | {row.source} |"
        for row in PUBLISHED
    ]
    return "\n".join([head, _rule(head), *rows])


def _numbers(recipe: TrainingRecipe) -> str:
    optimizer = recipe.optimizer
    lars = " (LARS)" if isinstance(optimizer, Sgd) and optimizer.trust_coefficient is not None else ""
    return (
        f"{_budget(recipe)} | {recipe.batch_size} | {optimizer.lr:g}{lars} | {optimizer.weight_decay:g} "
        f"| {_schedule(recipe.schedule)}"
    )


def _budget(recipe: TrainingRecipe) -> str:
    return str(recipe.epochs) if recipe.total_steps is None else f"{recipe.total_steps} steps"


def _schedule(schedule: Schedule) -> str:
    match schedule.name:
        case "steps":
            words = f"x{schedule.factor:g} at {', '.join(map(str, schedule.milestones))}"
        case "plateau":
            words = f"x{schedule.factor:g} after {schedule.patience} epochs without a new best, {schedule.drops} times"
        case "cosine":
            words = "cosine"
    return words + (f" after {schedule.warmup_epochs:g} of warm-up" if schedule.warmup_epochs else "")


def _fields(objective: Objective) -> str:
    return ", ".join(f"{name} {_short(value)}" for name, value in asdict(objective).items()) or "none"


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _rule(head: str) -> str:
    return "|" + "---|" * (head.count("|") - 1)


if __name__ == "__main__":
    typer.echo(tables())
