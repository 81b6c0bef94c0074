"""`zoo train`."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from training.commands.options import find_starting_point, named_architecture, print_notes, resolve_recipe
from zoo.cli._errors import interruptible
from zoo.cli._options import (
    DATA_DIR,
    Architecture,
    DataDir,
    Device,
    Fit,
    Freeze,
    Json,
    LimitPerClass,
    Objective,
    OptionalInit,
    OptionalRecipe,
    Seed,
    Set,
    TaskName,
)
from zoo.cli._plain import echo

if TYPE_CHECKING:
    from training.run import TrainingRun
    from training.run_report import RunReport
    from zoo.checkpoints.checkpoint import Checkpoint


def train(
    task: TaskName,
    output: Annotated[Path, typer.Option("--output", help="The checkpoint directory to create.")],
    objective: Objective = "consistency",
    architecture: Architecture = None,
    init: OptionalInit = None,
    recipe: OptionalRecipe = None,
    assignments: Set = None,
    fit: Fit = None,
    sigma: Annotated[
        float | None,
        typer.Option(
            "--sigma", metavar="S", help="The noise of training, as --set objective.sigma=S; pixels in [0, 1]."
        ),
    ] = None,
    freeze: Freeze = None,
    limit_per_class: LimitPerClass = None,
    seed: Seed = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Resume after the last finished epoch.")] = False,
    device: Device = "auto",
    data_dir: DataDir = DATA_DIR,
    as_json: Json = False,
) -> None:
    """Train a network; the output directory is the checkpoint.

    The table at the end says whether to trust the network.

    Several processes: torchrun --nproc-per-node 4 -m zoo -- train ...

    Example: zoo train --task digits --output my-model
    """
    from training.distributed import join_ranks
    from training.recipes.defaults import default_recipe, default_start
    from training.run import TrainingRun
    from training.run_report import report_of
    from training.tasks import open_task
    from training.trainer import train as run_training
    from zoo.cli._console import PlainConsole
    from zoo.loading.device import pick_device

    with join_ranks() as ranks:
        console = PlainConsole(stderr=True, quiet=not ranks.is_first)
        with ranks.failing_together():
            with ranks.local_first_rank_first():
                opened = open_task(task, data_dir=data_dir)
                recipe = recipe or default_recipe(opened, objective=objective, limit_per_class=limit_per_class)
                named = named_architecture(architecture, assignments or [])
                start = init or default_start(recipe=recipe, architecture=named)
                parent = find_starting_point(start)
            if init is None and parent is not None:
                console.print(f"starting point: {start} (--init random for random weights)", highlight=False)
            given = {
                "architecture": architecture,
                "fit": fit,
                "freeze": freeze,
                "limit_per_class": limit_per_class,
                "objective.sigma": sigma,
            }
            picked = pick_device(ranks.device_name(device))
            resolved = resolve_recipe(
                recipe, objective, parent, given, assignments or [], task=opened, device=picked, console=console
            )
        if ranks.is_first:
            print_notes(opened, console)
        run = TrainingRun(
            task=opened,
            recipe=resolved,
            seed=seed,
            output=output,
            parent=parent,
            parent_id=None if parent is None or Path(start).is_dir() else start,
        )
        started = time.perf_counter()
        with interruptible(hint=f"{output} contains the last finished epoch, if any; add --resume to continue"):
            checkpoint = run_training(run, device=picked, resume=resume, console=console, ranks=ranks)
        if ranks.is_first:
            seconds = time.perf_counter() - started
            report = report_of(run, checkpoint, device=picked)
            _print(run, checkpoint, report, task=task, seconds=seconds, as_json=as_json)


def _print(
    run: TrainingRun, checkpoint: Checkpoint, report: RunReport, *, task: str, seconds: float, as_json: bool
) -> None:
    from training.run_report import tables_of
    from zoo.cli._console import PlainConsole

    certified, denoiser = checkpoint.spec.certified, checkpoint.spec.certified.denoiser
    trained = certified if denoiser is None else denoiser
    result = {
        "checkpoint": str(checkpoint.path),
        "name": checkpoint.spec.name,
        "sha256": checkpoint.weights_sha256,
        "objective": trained.objective,
        "task": task,
        "architecture": checkpoint.spec.architecture,
        "epochs": trained.epochs,
        "seed": trained.seed,
        "num_train_images": trained.num_train_images,
        "train_seconds": round(seconds, 1),
        **report.as_json(),
        "recipe": run.recipe.describe(),
    }
    if denoiser is not None:
        result["classifier_sha256"] = checkpoint.classifier_sha256
    if as_json:
        echo(json.dumps(result, indent=2))
        return
    echo(f"{checkpoint.path}: {checkpoint.spec.name}, {trained.epochs} {'epoch' if trained.epochs == 1 else 'epochs'}")
    console = PlainConsole()
    for title, table in tables_of(report):
        console.print(title, markup=False, highlight=False, soft_wrap=True)
        console.print(table)
    if report.warning is not None:
        console.print(f"warning: {report.warning}", markup=False, highlight=False, soft_wrap=True)
