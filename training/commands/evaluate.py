"""`zoo evaluate`."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from training.commands.checks import parse_numbers, require_recordable, require_same_classes
from zoo.cli._options import DATA_DIR, BatchSize, DataDir, Device, Json, Model, Record, Seed, TaskName


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

    sigmas = parse_numbers(noise_sigmas, "--noise-sigmas")
    require_recordable(model, record)
    checkpoint = locate(model)
    opened = open_task(task, data_dir=data_dir)
    require_same_classes(checkpoint, opened)
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
