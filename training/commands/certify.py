"""`zoo certify`."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from training.commands.options import image_selection, require_recordable, require_same_classes
from zoo.cli._errors import interruptible
from zoo.cli._options import (
    DATA_DIR,
    Backend,
    Bound,
    CertificationBatchSize,
    DataDir,
    Device,
    Engine,
    Images,
    Json,
    Maximum,
    Model,
    Noise,
    Precision,
    Radius,
    RayAddress,
    Record,
    Sample,
    Seed,
    Skip,
    Stopping,
    TaskName,
    Tolerance,
    Workers,
)

if TYPE_CHECKING:
    from zoo.checkpoints.checkpoint import Checkpoint
    from zoo.smoothing import Noise as KindOfNoise
    from zoo.smoothing import SmoothingSpec, StoppingRule


def certify(
    model: Model,
    task: TaskName,
    output: Annotated[Path, typer.Option("--output", help="The log to create or resume.", metavar="FILE.tsv")],
    skip: Skip = 1,
    maximum: Maximum = None,
    images: Images = None,
    sample: Sample = "stratified",
    sigma: Annotated[
        float | None,
        typer.Option(
            "--sigma",
            help="Noise of the smoothing; default: the checkpoint's. 0 measures the classifier without noise.",
        ),
    ] = None,
    n0: Annotated[
        int | None,
        typer.Option("--n0", help="Draws that select the class; default: 100, or 16 to 100 with --stopping at-radius."),
    ] = None,
    n: Annotated[
        int, typer.Option("--n", help="Further draws that bound its probability, or at most so many.")
    ] = 100_000,
    alpha: Annotated[float, typer.Option("--alpha", help="Probability of a wrong certificate.")] = 0.001,
    family: Annotated[
        bool,
        typer.Option(
            "--family",
            help="Let all certificates of the run hold at once, except with probability alpha: each gets alpha divided "
            "by the number of images.",
        ),
    ] = False,
    noise: Noise = "gaussian",
    stopping: Stopping = "fixed",
    radius: Radius = None,
    tolerance: Tolerance = None,
    bound: Bound = None,
    seed: Seed = 0,
    device: Device = "auto",
    backend: Backend = "auto",
    precision: Precision = None,
    batch_size: CertificationBatchSize = None,
    data_dir: DataDir = DATA_DIR,
    engine: Engine = "local",
    workers: Workers = None,
    ray_address: RayAddress = None,
    record: Record = False,
    as_json: Json = False,
) -> None:
    """Certify test images with the smoothed classifier.

    Run the same command again to resume.

    Under torchrun each process certifies a share of the images: torchrun --nproc-per-node 4 -m zoo -- certify ...
    (the -- prevents torchrun from parsing --n and --max). With --engine ray, tasks of a Ray cluster do.

    Example: zoo certify my-model --task digits --n 1000 --output rows.tsv
    """
    from training.commands.engine import engine_workers
    from training.distributed import join_ranks
    from training.evaluation.certification import certify_images
    from training.evaluation.certification_log import certification_run
    from training.evaluation.recording import record_certification
    from training.evaluation.report import print_report
    from training.tasks import open_task
    from zoo.cli._console import PlainConsole
    from zoo.loading.backend import default_batch_size, open_backend
    from zoo.loading.device import device_for
    from zoo.loading.locate import locate
    from zoo.models.measurements import SharedAlpha
    from zoo.smoothing import FamilyMember, SamplingOptions
    from zoo.smoothing.family import place_in_errors
    from zoo.smoothing.named_rules import rule_from

    with join_ranks() as ranks, ExitStack() as stack:
        with ranks.failing_together():
            require_recordable(model, record, sigma=sigma)
            selection = image_selection(skip=skip, maximum=maximum, images=images, sample=sample, seed=seed)
            rule = rule_from(stopping, n=n, radius=radius, tolerance=tolerance, bound=bound)
            cluster = engine_workers(engine, num_workers=workers, address=ray_address, device=device)
            tasks = stack.enter_context(cluster)
            with ranks.local_first_rank_first():
                checkpoint, opened = locate(model), open_task(task, data_dir=data_dir)
            indices = selection.of(opened.test.labels)
            shared = SharedAlpha(alpha=alpha, size=len(indices)) if family else None
            member = FamilyMember(alpha=alpha, index=1, size=len(indices)) if family else None
            with place_in_errors(member):
                own_alpha = alpha if member is None else member.level
                smoothing = _smoothing(checkpoint, sigma=sigma, n0=n0, alpha=own_alpha, rule=rule, noise=noise)
            require_same_classes(checkpoint, opened)
            picked = device_for(checkpoint, ranks.device_name(device))
            with ranks.local_first_rank_first():  # the other ranks find its export in the cache
                base = open_backend(checkpoint, backend=backend, precision=precision, device=picked)
            options = SamplingOptions(batch_size=batch_size or default_batch_size(checkpoint, picked))
            run = certification_run(
                checkpoint,
                opened,
                smoothing=smoothing,
                base=base,
                options=options,
                seed=seed,
                family=shared,
                sample=selection.sample,
            )
        rows_of = None
        if tasks is not None:
            from training.evaluation.pieces import CertificationOnWorkers

            rows_of = CertificationOnWorkers(
                workers=tasks, checkpoint=checkpoint, backend=backend, precision=precision, device=picked.type
            )
        with interruptible(hint="every finished row is kept; run the same command to resume"):
            rows = certify_images(
                run,
                base,
                opened.test,
                indices,
                output=output,
                options=options,
                console=PlainConsole(stderr=True, quiet=not ranks.is_first),
                ranks=ranks,
                rows_of=rows_of,
            )
        if ranks.is_first:
            if record:
                record_certification(checkpoint, run, rows, selection=selection)
            print_report({output: rows}, as_json=as_json)


def _smoothing(
    checkpoint: Checkpoint, *, sigma: float | None, n0: int | None, alpha: float, rule: StoppingRule, noise: str
) -> SmoothingSpec:
    from zoo.errors import CertificationError
    from zoo.smoothing import SmoothingSpec

    sigma = checkpoint.spec.certified.sigma if sigma is None else sigma
    if sigma is None:
        name = checkpoint.spec.name
        raise CertificationError(f"{name} has no sigma because it was not trained under noise; give --sigma")
    return SmoothingSpec(
        sigma=sigma,
        n0=n0,  # type: ignore[arg-type] # None: by default the rule's
        alpha=alpha,
        stopping=rule,
        noise=cast("KindOfNoise", noise),
    )
