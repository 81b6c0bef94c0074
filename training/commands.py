"""`zoo train | evaluate | certify | report`. A command parses, calls one function and prints."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated

import typer

from zoo.cli._options import DATA_DIR, BatchSize, DataDir, Device, Json, Model, Record, Seed, TaskName


def train(
    task: TaskName,
    objective: Annotated[str, typer.Option("--objective", help="standard, gaussian or consistency.")],
    output: Annotated[Path, typer.Option("--output", help="The checkpoint directory to make.")],
    architecture: Annotated[
        str | None, typer.Option("--architecture", help="resnet50 (default), resnet34, resnet18 or resnet10-quarter.")
    ] = None,
    init: Annotated[str, typer.Option("--init", help="random, or a MODEL to start from.")] = "random",
    recipe: Annotated[str, typer.Option("--recipe", help="quick or paper.")] = "quick",
    assignments: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a field: epochs=1, objective.sigma=0.25.")
    ] = None,
    seed: Seed = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on after the last finished epoch.")] = False,
    device: Device = "auto",
    data_dir: DataDir = DATA_DIR,
    as_json: Json = False,
) -> None:
    """Train a network; the output directory is the checkpoint."""
    from dataclasses import replace

    from rich.console import Console

    from training.recipe import override
    from training.recipes import find_recipe
    from training.tasks import open_task
    from training.trainer import TrainingRun
    from training.trainer import train as run_training
    from zoo.architecture import find_architecture
    from zoo.device import pick_device
    from zoo.locate import locate

    resolved = find_recipe(recipe, objective=objective)
    parent = None if init == "random" else locate(init)
    inherited = None if parent is None else parent.spec.architecture
    resolved = replace(resolved, architecture=architecture or inherited or resolved.architecture)
    resolved = override(resolved, assignments or [])
    find_architecture(resolved.architecture)
    console = Console(stderr=True)
    console.print_json(json.dumps(resolved.describe()))
    run = TrainingRun(
        task=open_task(task, data_dir=data_dir), recipe=resolved, seed=seed, output=output, parent=parent
    )
    started = time.perf_counter()
    checkpoint = run_training(run, device=pick_device(device), resume=resume, console=console)
    result = {
        "checkpoint": str(checkpoint.path),
        "name": checkpoint.spec.name,
        "sha256": checkpoint.weights_sha256,
        "objective": objective,
        "task": task,
        "architecture": resolved.architecture,
        "epochs": checkpoint.spec.certified.epochs,
        "seed": seed,
        "train_seconds": round(time.perf_counter() - started, 1),
    }
    typer.echo(json.dumps(result, indent=2) if as_json else f"{result['checkpoint']}: {result['name']}, {result['epochs']} epochs")
def evaluate(): ...
def certify(): ...
def report(): ...
