"""`zoo calibrate`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, cast

import typer

from training.commands.options import print_notes, require_directory, require_same_classes
from zoo.cli._errors import interruptible
from zoo.cli._options import (
    DATA_DIR,
    Backend,
    CertificationBatchSize,
    DataDir,
    Device,
    Json,
    Model,
    Noise,
    Precision,
    Seed,
    TaskName,
)

if TYPE_CHECKING:
    from zoo.models.measurements import CalibrationResult
    from zoo.smoothing import Noise as KindOfNoise


def calibrate(
    model: Model,
    task: TaskName,
    radius: Annotated[
        float,
        typer.Option("--radius", min=0, metavar="R", help="Largest change of an image, in l2 on the [0, 1] scale."),
    ],
    alpha: Annotated[float, typer.Option("--alpha", help="Probability that a set lacks the true class.")] = 0.1,
    images: Annotated[
        int | None,
        typer.Option(
            "--images", min=1, metavar="M", help="Number of random test images that calibrate; default: half of them."
        ),
    ] = None,
    noise: Noise = "gaussian",
    seed: Seed = 0,
    device: Device = "auto",
    backend: Backend = "auto",
    precision: Precision = None,
    batch_size: CertificationBatchSize = None,
    data_dir: DataDir = DATA_DIR,
    as_json: Json = False,
) -> None:
    """Calibrate the label sets of zoo predict --mode set.

    They are also the answers to mode=set over HTTP and of label_set in Python.

    A label set comes from one noisy draw. It contains the true class with probability at least 1 - ALPHA, averaged over
    images, although someone who does not see the noise changed the image by up to R. This is no certificate of a single
    image. Writes calibration.json and a new card into the checkpoint, in place of an earlier calibration, and measures
    the sets on the test images that do not calibrate.

    Example: zoo calibrate my-model --task digits --radius 0.25
    """
    from training.evaluation.calibration import calibrate as calibrate_sets
    from training.evaluation.calibration import plan_calibration
    from training.tasks import open_task
    from zoo.checkpoints.writing import record_calibration
    from zoo.cli._console import PlainConsole
    from zoo.loading.backend import default_batch_size, open_backend
    from zoo.loading.device import device_for
    from zoo.loading.locate import locate
    from zoo.smoothing import SamplingOptions

    require_directory(model, "zoo calibrate")
    checkpoint, opened = locate(model), open_task(task, data_dir=data_dir)
    require_same_classes(checkpoint, opened)
    plan = plan_calibration(
        checkpoint,
        opened,
        radius=radius,
        alpha=alpha,
        noise=cast("KindOfNoise", noise),
        num_images=images,
        seed=seed,
    )
    console = PlainConsole(stderr=True)
    print_notes(opened, console)
    picked = device_for(checkpoint, device)
    base = open_backend(checkpoint, backend=backend, precision=precision, device=picked)
    options = SamplingOptions(batch_size=batch_size or default_batch_size(checkpoint, picked))
    with interruptible(hint="nothing is kept; run the same command again"):
        calibration = calibrate_sets(plan, base, options=options, console=console)
        record_calibration(checkpoint, calibration)
    _print_result(calibration.result(), as_json=as_json)


def _print_result(result: CalibrationResult, *, as_json: bool) -> None:
    import json

    from zoo.cli._plain import echo

    if as_json:
        echo(json.dumps(result.model_dump(mode="json"), indent=2))
        return
    low, high = (100 * end for end in result.coverage_interval)
    echo(
        f"label sets for changes of up to {result.radius:g} in l2, alpha {result.alpha:g}, sigma {result.sigma:g}: "
        f"threshold {result.threshold:.6g} from {result.num_images:,} test images of {result.task}"
    )
    echo(
        f"on {result.num_measured_images:,} other test images, unchanged: {100 * result.coverage:.1f} % of the sets "
        f"contain the true class ({low:.1f} to {high:.1f} %); mean size {result.mean_size:.2f} "
        f"({result.mean_size_interval[0]:.2f} to {result.mean_size_interval[1]:.2f})"
    )
    echo("the guarantee holds on average over images and calibrations; it certifies no single image")
