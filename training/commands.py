"""`zoo train | evaluate | certify | report`. A command parses, calls one function and prints.

What computes is imported inside a command, so that `zoo --help` needs none of it.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from zoo.cli._errors import interruptible
from zoo.cli._options import (
    DATA_DIR,
    Backend,
    BatchSize,
    CertificationBatchSize,
    DataDir,
    Device,
    Json,
    Model,
    Noise,
    Radius,
    Record,
    Seed,
    Stopping,
    TaskName,
    Tolerance,
)

if TYPE_CHECKING:
    from training.tasks import Task
    from zoo.checkpoint import Checkpoint
    from zoo.smoothing import Noise as KindOfNoise
    from zoo.smoothing import SmoothingSpec, StoppingRule

DEFAULT_RADII = (0.0, 0.5, 1.0, 1.5)


def train(
    task: TaskName,
    objective: Annotated[str, typer.Option("--objective", help="standard, gaussian or consistency.")],
    output: Annotated[Path, typer.Option("--output", help="The checkpoint directory to make.")],
    architecture: Annotated[
        str | None,
        typer.Option("--architecture", help="resnet50 (default), resnet34, resnet18 or resnet10-quarter."),
    ] = None,
    init: Annotated[str, typer.Option("--init", help="random, or a MODEL to start from.")] = "random",
    recipe: Annotated[str, typer.Option("--recipe", help="quick or paper.")] = "quick",
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a field: epochs=1, objective.sigma=0.25."),
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
    picked = pick_device(device)
    run = TrainingRun(task=open_task(task, data_dir=data_dir), recipe=resolved, seed=seed, output=output, parent=parent)
    started = time.perf_counter()
    with interruptible(go_on=f"{output} holds the last finished epoch, if there is one; add --resume to go on"):
        checkpoint = run_training(run, device=picked, resume=resume, console=Console(stderr=True))
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
    typer.echo(
        json.dumps(result, indent=2)
        if as_json
        else f"{result['checkpoint']}: {result['name']}, {result['epochs']} epochs"
    )


def evaluate(
    model: Model,
    task: TaskName,
    noise_sigmas: Annotated[
        str,
        typer.Option("--noise-sigmas", metavar="S,S,...", help="Also measure accuracy under noise of these sigmas."),
    ] = "",
    seed: Seed = 0,
    device: Device = "auto",
    batch_size: BatchSize = 256,
    data_dir: DataDir = DATA_DIR,
    record: Record = False,
    as_json: Json = False,
) -> None:
    """Measure the base classifier: accuracy on clean images and under Gaussian noise."""
    from training.evaluation.empirical import evaluate_network
    from training.tasks import open_task
    from zoo.checkpoint import record_results
    from zoo.device import pick_device
    from zoo.locate import locate

    sigmas = _parse_numbers(noise_sigmas, "--noise-sigmas")
    _require_recordable(model, record)
    checkpoint = locate(model)
    opened = open_task(task, data_dir=data_dir)
    _require_same_classes(checkpoint, opened)
    result = evaluate_network(
        checkpoint.load_network().to(pick_device(device)),
        opened,
        checkpoint.spec.preprocessing,
        sigmas=sigmas,
        batch_size=batch_size,
        seed=seed,
    )
    if record:
        record_results(checkpoint, empirical=result)
    if as_json:
        measured = result.model_dump(mode="json", exclude={"task", "split"})
        typer.echo(json.dumps({**measured, "robust_accuracy": None, "attack": None}, indent=2))
        return
    low, high = result.standard_accuracy_interval
    typer.echo(
        f"standard accuracy {result.standard_accuracy:.3f} [{low:.3f}, {high:.3f}] on {result.num_images} images"
    )
    for point in result.noise:
        typer.echo(f"accuracy under noise of sigma {point.sigma:g}: {point.accuracy:.3f}")


def certify(
    model: Model,
    task: TaskName,
    output: Annotated[Path, typer.Option("--output", help="The log to begin or to go on with.", metavar="FILE.tsv")],
    skip: Annotated[int, typer.Option("--skip", min=1, help="Certify every SKIP-th image.")] = 1,
    maximum: Annotated[int | None, typer.Option("--max", min=1, help="Stop before this image number.")] = None,
    sigma: Annotated[
        float | None,
        typer.Option(
            "--sigma",
            help="Noise of the smoothing; the checkpoint's unless given, 0 is the clean classifier.",
        ),
    ] = None,
    n0: Annotated[int, typer.Option("--n0", help="Draws that choose the class.")] = 100,
    n: Annotated[
        int, typer.Option("--n", help="Further draws that bound its probability: all of them, or the most made.")
    ] = 100_000,
    alpha: Annotated[float, typer.Option("--alpha", help="Chance of a wrong certificate.")] = 0.001,
    noise: Noise = "gaussian",
    stopping: Stopping = "fixed",
    radius: Radius = None,
    tolerance: Tolerance = None,
    seed: Seed = 0,
    device: Device = "auto",
    backend: Backend = "auto",
    batch_size: CertificationBatchSize = None,
    data_dir: DataDir = DATA_DIR,
    record: Record = False,
    as_json: Json = False,
) -> None:
    """Certify test images with the smoothed classifier; run again to go on where it stopped.

    Under torchrun each process certifies a share of the images: torchrun --nproc-per-node 4 -m zoo -- certify ...
    (the -- keeps torchrun from taking --n and --max for its own).
    """
    from rich.console import Console

    from training.distributed import join_ranks
    from training.evaluation.certification_run import run_for
    from training.evaluation.certified import certify_images, select_indices
    from training.evaluation.recording import record_certification
    from training.evaluation.report import print_report
    from training.tasks import open_task
    from zoo.device import pick_device
    from zoo.locate import locate
    from zoo.rules import rule_from
    from zoo.runtime import default_batch_size, open_backend
    from zoo.smoothing import SamplingOptions

    with join_ranks() as ranks:
        with ranks.united():
            _require_recordable(model, record, sigma=sigma)
            rule = rule_from(stopping, n=n, radius=radius, tolerance=tolerance)
            with ranks.first_of_node_first():
                checkpoint, opened = locate(model), open_task(task, data_dir=data_dir)
            smoothing = _smoothing(checkpoint, sigma=sigma, n0=n0, alpha=alpha, rule=rule, noise=noise)
            _require_same_classes(checkpoint, opened)
            picked = pick_device(ranks.device_name(device))
            base = open_backend(checkpoint, backend=backend, device=picked)
            options = SamplingOptions(batch_size=batch_size or default_batch_size(checkpoint, picked))
            run = run_for(checkpoint, opened, smoothing=smoothing, base=base, options=options, seed=seed)
        with interruptible(go_on="every finished row is kept; run the same command to go on"):
            rows = certify_images(
                run,
                base,
                opened.test,
                select_indices(len(opened.test), skip=skip, maximum=maximum),
                output=output,
                options=options,
                console=Console(stderr=True, quiet=not ranks.is_first),
                ranks=ranks,
            )
        if ranks.is_first:
            if record:
                record_certification(checkpoint, run, rows, skip=skip, maximum=maximum)
            print_report({output: rows}, radii=DEFAULT_RADII, as_json=as_json)


def report(
    logs: Annotated[
        list[Path], typer.Argument(metavar="FILE.tsv...", help="Certification logs, ours or published ones.")
    ],
    radii: Annotated[
        str, typer.Option("--radii", metavar="R,R,...", help="Radii of the certified accuracy.")
    ] = "0,0.5,1,1.5",
    figure: Annotated[
        Path | None, typer.Option("--figure", metavar="FILE.png", help="Draw the certified-accuracy curves.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Accuracy, certified accuracy, average certified radius and abstention, each with its 95 % interval."""
    from training.evaluation.report import print_report
    from zoo.results.log import read_log

    wanted = _parse_numbers(radii, "--radii")
    rows = {path: read_log(path) for path in logs}
    print_report(rows, radii=wanted, as_json=as_json)
    if figure is not None:
        from zoo.results.figure import draw_curves

        draw_curves({str(path): rows[path] for path in logs}, figure)


def _parse_numbers(text: str, option: str) -> list[float]:
    from zoo.errors import RequestError

    try:
        numbers = [float(part) for part in text.split(",") if part.strip()]
    except ValueError:
        numbers = [-1.0]
    if any(not 0 <= number < float("inf") for number in numbers):
        raise RequestError(f"{option} takes numbers of at least 0 with commas between, got {text!r}")
    return numbers


def _smoothing(
    checkpoint: Checkpoint, *, sigma: float | None, n0: int, alpha: float, rule: StoppingRule, noise: str
) -> SmoothingSpec:
    from zoo.errors import CertificationError
    from zoo.smoothing import SmoothingSpec

    sigma = checkpoint.spec.certified.sigma if sigma is None else sigma
    if sigma is None:
        name = checkpoint.spec.name
        raise CertificationError(f"{name} names no sigma: it was not trained under noise; give --sigma")
    return SmoothingSpec(sigma=sigma, n0=n0, alpha=alpha, stopping=rule, noise=cast("KindOfNoise", noise))


def _require_recordable(model: str, record: bool, *, sigma: float | None = None) -> None:
    from zoo.errors import CertificationError, RequestError

    if record and not Path(model).is_dir():
        raise RequestError(
            f"--record writes into a checkpoint directory, and {model} is none: pull it first, zoo pull {model} DIR"
        )
    if record and sigma == 0:
        raise CertificationError("--record keeps certificates, and sigma 0 gives none: leave one of them out")


def _require_same_classes(checkpoint: Checkpoint, task: Task) -> None:
    from zoo.errors import TaskError

    if checkpoint.spec.certified.class_names != task.class_names:
        raise TaskError(
            f"{checkpoint.spec.name} was trained on the {checkpoint.spec.num_classes} classes of "
            f"{checkpoint.spec.certified.task}, not on the {task.num_classes} of {task.name}: give --task of the former"
        )
