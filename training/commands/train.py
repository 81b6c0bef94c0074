"""`zoo train`."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zoo.cli._errors import interruptible
from zoo.cli._options import DATA_DIR, DataDir, Device, Json, Objective, Recipe, Seed, Set, TaskName

if TYPE_CHECKING:
    from training.recipe import TrainingRecipe
    from zoo.checkpoint import Checkpoint


def train(
    task: TaskName,
    objective: Objective,
    output: Annotated[Path, typer.Option("--output", help="The checkpoint directory to make.")],
    architecture: Annotated[
        str | None,
        typer.Option("--architecture", help="resnet50 (default), resnet34, resnet18 or resnet10-quarter."),
    ] = None,
    init: Annotated[
        str, typer.Option("--init", help="random, or a MODEL to start from: a directory, a Hub id or a catalog id.")
    ] = "random",
    recipe: Recipe = "quick",
    assignments: Set = None,
    freeze: Annotated[
        str | None,
        typer.Option(
            "--freeze",
            metavar="LAYER",
            help="Keep the starting point's layers up to this one: conv1, layer1, layer2, layer3 or all-but-head.",
        ),
    ] = None,
    limit_per_class: Annotated[
        int | None,
        typer.Option(
            "--limit-per-class", min=1, metavar="K", help="Use only K labelled images a class, validation included."
        ),
    ] = None,
    seed: Seed = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on after the last finished epoch.")] = False,
    device: Device = "auto",
    data_dir: DataDir = DATA_DIR,
    as_json: Json = False,
) -> None:
    """Train a network; the output directory is the checkpoint.

    Under torchrun the processes share every batch: torchrun --nproc-per-node 4 -m zoo -- train ...
    """
    from rich.console import Console

    from training.distributed import join_ranks
    from training.tasks import open_task
    from training.trainer import TrainingRun
    from training.trainer import train as run_training
    from zoo.device import pick_device

    with join_ranks() as ranks:
        with ranks.united():
            with ranks.first_of_node_first():
                parent = _starting_point(init)
                opened = open_task(task, data_dir=data_dir)
            asked = {"architecture": architecture, "freeze": freeze, "limit_per_class": limit_per_class}
            resolved = _resolve(recipe, objective, parent, asked, assignments or [])
            picked = pick_device(ranks.device_name(device))
        console = Console(stderr=True, quiet=not ranks.is_first)
        for sentence in opened.deviations:
            console.print(f"note: {sentence}", markup=False, highlight=False)
        run = TrainingRun(task=opened, recipe=resolved, seed=seed, output=output, parent=parent)
        started = time.perf_counter()
        with interruptible(go_on=f"{output} holds the last finished epoch, if there is one; add --resume to go on"):
            checkpoint = run_training(run, device=picked, resume=resume, console=console, ranks=ranks)
        if ranks.is_first:
            _print(checkpoint, task=task, seconds=time.perf_counter() - started, as_json=as_json)


def _starting_point(init: str) -> Checkpoint | None:
    from zoo.errors import RequestError
    from zoo.locate import locate

    if init == "random":
        return None
    if Path(init).is_file():
        raise RequestError(
            f"--init {init} is a file: import it first, zoo import {init} --normalization ... --output DIR, "
            "and start from DIR"
        )
    return locate(init)


def _resolve(
    name: str, objective: str, parent: Checkpoint | None, asked: dict[str, str | int | None], assignments: list[str]
) -> TrainingRecipe:
    """The named recipe, with the starting point's architecture, then the options that were given, then --set."""
    from dataclasses import replace

    from training.recipe import override
    from training.recipes import find_recipe
    from zoo.architecture import find_architecture

    recipe = find_recipe(name, objective=objective)
    if parent is not None:
        recipe = replace(recipe, architecture=parent.spec.architecture)
    given = [f"{field}={value}" for field, value in asked.items() if value is not None]
    recipe = override(recipe, [*given, *assignments])
    find_architecture(recipe.architecture)
    return recipe


def _print(checkpoint: Checkpoint, *, task: str, seconds: float, as_json: bool) -> None:
    certified = checkpoint.spec.certified
    result = {
        "checkpoint": str(checkpoint.path),
        "name": checkpoint.spec.name,
        "sha256": checkpoint.weights_sha256,
        "objective": certified.objective,
        "task": task,
        "architecture": checkpoint.spec.architecture,
        "epochs": certified.epochs,
        "seed": certified.seed,
        "num_train_images": certified.num_train_images,
        "train_seconds": round(seconds, 1),
    }
    line = f"{checkpoint.path}: {checkpoint.spec.name}, {certified.epochs} epochs"
    typer.echo(json.dumps(result, indent=2) if as_json else line)
