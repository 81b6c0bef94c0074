"""`zoo search`."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from training.commands.options import find_starting_point, print_notes, resolve_recipe
from zoo.cli._errors import interruptible
from zoo.cli._options import (
    DATA_DIR,
    Architecture,
    DataDir,
    Device,
    Fit,
    Freeze,
    Init,
    Json,
    LimitPerClass,
    Objective,
    Recipe,
    Seed,
    Set,
    TaskName,
)
from zoo.cli._plain import echo

if TYPE_CHECKING:
    from training.search import TrialResult


def search(
    task: TaskName,
    objective: Objective,
    output: Annotated[Path, typer.Option("--output", help="The folder for the trials and their results.")],
    grid: Annotated[
        list[str] | None,
        typer.Option(
            "--grid",
            metavar="KEY=VALUE,...",
            help="Try these values of a field: optimizer.lr=0.1,0.01. Repeatable; default: the recipe's grid.",
        ),
    ] = None,
    architecture: Architecture = None,
    init: Init = "random",
    recipe: Recipe = "quick",
    assignments: Set = None,
    fit: Fit = None,
    freeze: Freeze = None,
    limit_per_class: LimitPerClass = None,
    seed: Seed = 0,
    device: Device = "auto",
    data_dir: DataDir = DATA_DIR,
    as_json: Json = False,
) -> None:
    """Train every recipe of a grid and rank them.

    The order is that of validation accuracy. Run the same command again to resume.

    Example: zoo search --task digits --objective gaussian --output grid
    """
    _require_alone()
    _require_optuna()
    from training.grid import parse_grid, require_valid_grid
    from training.search import Search
    from training.search import search as run_search
    from training.tasks import open_task
    from zoo.cli._console import PlainConsole
    from zoo.errors import DivergenceError
    from zoo.loading.device import pick_device

    console = PlainConsole(stderr=True)
    parent, opened, picked = find_starting_point(init), open_task(task, data_dir=data_dir), pick_device(device)
    given = {"architecture": architecture, "fit": fit, "freeze": freeze, "limit_per_class": limit_per_class}
    resolved = resolve_recipe(
        recipe, objective, parent, given, assignments or [], task=opened, device=picked, console=console
    )
    axes = parse_grid(grid) if grid else _own_grid(recipe)
    require_valid_grid(axes, resolved)
    options: dict[str, str | int] = {
        "--task": task,
        "--objective": objective,
        "--recipe": recipe,
        "--init": init,
        "--seed": seed,
    }
    given["architecture"] = resolved.architecture  # the default depends on the device
    options |= {f"--{name.replace('_', '-')}": value for name, value in given.items() if value is not None}
    plan = Search(
        task=opened,
        recipe=resolved,
        grid=axes,
        seed=seed,
        output=output,
        parent=parent,
        train_words=_train_words(options, assignments or []),
    )
    print_notes(plan.task, console)
    if any(path.startswith("objective.") for path in axes):
        console.print(
            "note: the ranking is by validation accuracy, which a field of the objective may trade for robustness",
            markup=False,
            highlight=False,
        )
    with interruptible(hint=f"{output} contains the finished trials; run the same command to resume"):
        results = run_search(plan, device=picked, console=console)
    _print(results, as_json=as_json)
    if results[0].error is not None:
        raise DivergenceError(f"all {len(results)} trials failed; {results[0].checkpoint.name}: {results[0].error}")


def _require_alone() -> None:
    from zoo.errors import RequestError

    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise RequestError("zoo search runs in one process: start it without torchrun, once for each part of a grid")


def _require_optuna() -> None:
    """Silences Optuna's log lines for trials. Raises: RequestError if Optuna is not installed."""
    from zoo.errors import RequestError

    try:
        import optuna
    except ImportError as error:
        raise RequestError("zoo search needs the package optuna: pip install 'certified-zoo[search]'") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def _own_grid(recipe: str) -> dict[str, tuple[str, ...]]:
    from training.recipes import GRIDS
    from zoo.errors import RecipeError

    if recipe not in GRIDS:
        raise RecipeError(
            f"the recipe {recipe} has no grid, unlike {' and '.join(GRIDS)}: give one with --grid optimizer.lr=0.1,0.01"
        )
    return {path: tuple(str(value) for value in values) for path, values in GRIDS[recipe].items()}


def _train_words(options: Mapping[str, str | int], assignments: Sequence[str]) -> tuple[str, ...]:
    named = [word for name, value in options.items() for word in (name, str(value))]
    return ("zoo", "train", *named, *(word for assignment in assignments for word in ("--set", assignment)))


def _print(results: Sequence[TrialResult], *, as_json: bool) -> None:
    from rich.markup import escape
    from rich.table import Table

    from zoo.cli._console import PlainConsole

    if as_json:
        trials = [
            {"rank": None if result.error else rank, **asdict(result), "checkpoint": str(result.checkpoint)}
            for rank, result in enumerate(results, start=1)
        ]
        echo(json.dumps({"best": trials[0] if results[0].error is None else None, "trials": trials}, indent=2))
        return
    title = f"trials in {escape(str(results[0].checkpoint.parent))}"
    table = Table("rank", *results[0].parameters, "validation accuracy", "epochs", title=title, title_justify="left")
    table.add_column("checkpoint", no_wrap=True)
    for rank, result in enumerate(results, start=1):
        values = [str(value) for value in result.parameters.values()]
        if result.validation_accuracy is None:
            table.add_row("-", *values, "failed", "-", result.checkpoint.name)
        else:
            accuracy = f"{100 * result.validation_accuracy:.1f} %"
            table.add_row(str(rank), *values, accuracy, str(result.epochs), result.checkpoint.name)
    PlainConsole().print(table)
