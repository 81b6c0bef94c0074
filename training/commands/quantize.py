"""`zoo quantize`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from training.commands.options import print_notes, require_same_classes
from zoo.cli._errors import interruptible
from zoo.cli._options import DATA_DIR, DataDir, Json, Model, Seed, TaskName

if TYPE_CHECKING:
    from zoo.checkpoints.checkpoint import Checkpoint


def quantize(
    model: Model,
    task: TaskName,
    output: Annotated[Path, typer.Option("--output", metavar="DIR", help="A new directory for the int8 checkpoint.")],
    images: Annotated[
        int, typer.Option("--images", min=1, metavar="M", help="Number of noisy training images that calibrate.")
    ] = 128,
    seed: Seed = 0,
    data_dir: DataDir = DATA_DIR,
    as_json: Json = False,
) -> None:
    """Make an int8 checkpoint, two to three times as fast on CPUs.

    Its 8-bit network is another base classifier than MODEL: measure it with zoo certify DIR --record. It computes on
    CPUs only, and attacks, training and zoo.load need MODEL. Layers stay in float32 where that is measurably better.

    Example: zoo quantize my-model --task imagefolder:pictures --output my-model-int8
    """
    from training.quantization import quantize_checkpoint
    from training.tasks import open_task
    from zoo.cli._console import PlainConsole
    from zoo.loading.locate import locate

    checkpoint, opened = locate(model), open_task(task, data_dir=data_dir)
    require_same_classes(checkpoint, opened)
    print_notes(opened, PlainConsole(stderr=True))
    with interruptible(hint="nothing is kept; run the same command again"):
        made = quantize_checkpoint(
            checkpoint,
            opened,
            output=output,
            num_images=images,
            seed=seed,
            parent_id=None if Path(model).is_dir() else model,
        )
    _print_result(made, checkpoint, as_json=as_json)


def _print_result(made: Checkpoint, parent: Checkpoint, *, as_json: bool) -> None:
    import json

    from zoo.cli._plain import echo

    quantization = made.spec.certified.quantization
    assert quantization is not None
    if as_json:
        facts = {"checkpoint": str(made.path), "name": made.spec.name, "sha256": made.weights_sha256}
        echo(json.dumps(facts | {"parent_sha256": parent.weights_sha256} | quantization.model_dump(mode="json")))
        return
    echo(f"{made.path}: {made.spec.name}, SHA-256 {made.weights_sha256}, parent {parent.weights_sha256}")
    kept = ", ".join(quantization.float_nodes) or "no layer"
    echo(
        f"{100 * quantization.agreement:.1f} % of {quantization.num_compared} noisy training images get the float "
        f"network's class; {kept} in float32"
    )
