"""`zoo evaluate`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, cast

import typer

from training.commands.checks import parse_numbers, require_recordable, require_same_classes
from zoo.cli._options import DATA_DIR, BatchSize, DataDir, Device, Json, Model, Record, Seed, TaskName

if TYPE_CHECKING:
    from training.threat import Norm


def evaluate(
    model: Model,
    task: TaskName,
    noise_sigmas: Annotated[
        str,
        typer.Option("--noise-sigmas", metavar="S,S,...", help="Also measure accuracy under noise of these sigmas."),
    ] = "",
    attack: Annotated[
        str | None, typer.Option("--attack", metavar="NAME", help="Also measure accuracy under an attack: pgd.")
    ] = None,
    epsilon: Annotated[float, typer.Option("--epsilon", help="How far the attack may go, on pixels in [0, 1].")] = 0.5,
    norm: Annotated[str, typer.Option("--norm", help="In which norm: l2 or linf.")] = "l2",
    attack_steps: Annotated[int, typer.Option("--attack-steps", min=1, help="Steps of the attack.")] = 20,
    seed: Seed = 0,
    device: Device = "auto",
    batch_size: BatchSize = 256,
    data_dir: DataDir = DATA_DIR,
    record: Record = False,
    as_json: Json = False,
) -> None:
    """Measure the base classifier: accuracy on clean images, under Gaussian noise and under attack."""
    from training.evaluation.attacks import find_attack
    from training.evaluation.empirical import evaluate_network
    from training.tasks import open_task
    from training.threat import ThreatModel
    from zoo.checkpoint import record_results
    from zoo.device import pick_device
    from zoo.locate import locate

    sigmas = parse_numbers(noise_sigmas, "--noise-sigmas")
    threat = ThreatModel(norm=cast("Norm", norm), epsilon=epsilon)
    asked = None if attack is None else find_attack(attack, threat, num_steps=attack_steps)
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
        attack=asked,
    )
    if record:
        record_results(checkpoint, empirical=result)
    if as_json:
        typer.echo(json.dumps(result.model_dump(mode="json", exclude={"task", "split"}), indent=2))
        return
    low, high = result.standard_accuracy_interval
    typer.echo(
        f"standard accuracy {result.standard_accuracy:.3f} [{low:.3f}, {high:.3f}] on {result.num_images} images"
    )
    for point in result.noise:
        typer.echo(f"accuracy under noise of sigma {point.sigma:g}: {point.accuracy:.3f}")
    if result.attack is not None and result.robust_accuracy_interval is not None:
        low, high = result.robust_accuracy_interval
        typer.echo(
            f"robust accuracy {result.robust_accuracy:.3f} [{low:.3f}, {high:.3f}] under {result.attack.describe()}"
        )
