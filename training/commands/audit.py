"""`zoo audit`."""

from __future__ import annotations

from typing import Annotated

import typer

from training.commands.options import require_same_classes
from zoo.cli._errors import interruptible
from zoo.cli._options import (
    DATA_DIR,
    Backend,
    CertificationBatchSize,
    DataDir,
    Device,
    Json,
    Model,
    Precision,
    TaskName,
)


def audit(
    model: Model,
    task: TaskName,
    images: Annotated[
        int, typer.Option("--images", min=1, metavar="K", help="Number of random test images to certify.")
    ],
    n: Annotated[
        int | None, typer.Option("--n", min=1, help="Draws per image; at most the card's number, which is the default.")
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option("--seed", min=0, help="Root of images and noise; by default the operating system's randomness."),
    ] = None,
    device: Device = "auto",
    backend: Backend = "auto",
    precision: Precision = None,
    batch_size: CertificationBatchSize = None,
    data_dir: DataDir = DATA_DIR,
    as_json: Json = False,
) -> None:
    """Certify random test images again and test the card's claims.

    The exit code is 1 if a claim is refuted.

    Correct claims are refuted with a probability of at most 1 %. The output lists the overstatements that the audit can
    detect.

    Example: zoo audit my-model --task digits --images 30
    """
    from training.evaluation.audit import audit_claims, plan_audit
    from training.evaluation.audit_report import print_audit
    from training.tasks import open_task
    from zoo.cli._console import PlainConsole
    from zoo.loading.backend import default_batch_size, open_backend
    from zoo.loading.device import device_for
    from zoo.loading.locate import locate
    from zoo.smoothing import SamplingOptions
    from zoo.smoothing.precision import precision_of

    checkpoint, opened = locate(model), open_task(task, data_dir=data_dir)
    require_same_classes(checkpoint, opened)
    plan = plan_audit(checkpoint, opened, num_images=images, n=n, seed=seed)
    picked = device_for(checkpoint, device)
    claimed = precision_of(plan.claim.backend)
    base = open_backend(checkpoint, backend=backend, precision=precision or claimed, device=picked)
    options = SamplingOptions(batch_size=batch_size or default_batch_size(checkpoint, picked))
    with interruptible(hint="nothing is kept; run the audit again, with fewer --images or a smaller --n"):
        findings = audit_claims(plan, base, options=options, console=PlainConsole(stderr=True))
    print_audit(findings, as_json=as_json)
    if findings.is_refuted:
        raise typer.Exit(1)
