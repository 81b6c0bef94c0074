"""`zoo evaluate`."""

from __future__ import annotations

from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from training.commands.options import image_selection, parse_numbers, require_recordable, require_same_classes
from zoo.cli._errors import interruptible
from zoo.cli._options import (
    DATA_DIR,
    BatchSize,
    DataDir,
    Device,
    Engine,
    Images,
    Json,
    Maximum,
    Model,
    Precision,
    RayAddress,
    Record,
    Sample,
    Seed,
    Skip,
    TaskName,
    Workers,
)
from zoo.cli._plain import echo

if TYPE_CHECKING:
    from training.attacks.losses import Loss
    from training.threat import Norm


def evaluate(
    model: Model,
    task: TaskName,
    noise_sigmas: Annotated[
        str,
        typer.Option("--noise-sigmas", metavar="S,S,...", help="Also measure accuracy under noise of these sigmas."),
    ] = "",
    attack: Annotated[
        str | None,
        typer.Option(
            "--attack",
            metavar="NAME",
            help="Also attack the network: apgd, pgd, or autoattack (needs the package pyautoattack). smoothed-pgd "
            "attacks the smoothed classifier: it gives an upper bound of robust accuracy, zoo certify a lower bound.",
        ),
    ] = None,
    epsilon: Annotated[float, typer.Option("--epsilon", help="Radius of the attack, for pixels in [0, 1].")] = 0.5,
    norm: Annotated[str, typer.Option("--norm", help="Norm of the attack: l2 or linf.")] = "l2",
    attack_steps: Annotated[
        int | None,
        typer.Option("--attack-steps", min=1, help="Steps of the attack; default: 100 for apgd, 20 for others."),
    ] = None,
    restarts: Annotated[
        int | None, typer.Option("--restarts", min=1, help="Searches of apgd or pgd; default: 1.")
    ] = None,
    loss: Annotated[
        str | None, typer.Option("--loss", help="Loss that apgd or pgd maximizes: ce, or dlr (needs 3 classes).")
    ] = None,
    sigma: Annotated[
        float | None,
        typer.Option("--sigma", help="Noise of the smoothing for smoothed-pgd; default: the checkpoint's."),
    ] = None,
    noise_samples: Annotated[
        int | None,
        typer.Option("--noise-samples", min=1, metavar="M", help="Draws per gradient of smoothed-pgd; default: 32."),
    ] = None,
    n: Annotated[
        int | None, typer.Option("--n", min=1, help="Draws per prediction of the smoothed classifier; default: 1000.")
    ] = None,
    skip: Skip = 1,
    maximum: Maximum = None,
    images: Images = None,
    sample: Sample = "stratified",
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            metavar="FILE.tsv",
            help="The log to create or resume: one row per image, written after each batch.",
        ),
    ] = None,
    seed: Seed = 0,
    device: Device = "auto",
    precision: Precision = None,
    batch_size: BatchSize = 256,
    data_dir: DataDir = DATA_DIR,
    engine: Engine = "local",
    workers: Workers = None,
    ray_address: RayAddress = None,
    record: Record = False,
    as_json: Json = False,
) -> None:
    """Measure accuracy on clean images, under noise and under attack.

    Attacks are computed in float32, and refused with another --precision.
    With --output, run the same command again to resume. With --engine ray, tasks of a Ray cluster classify and attack.

    Example: zoo evaluate my-model --task digits --attack apgd --epsilon 0.5
    """
    from training.commands.engine import engine_workers
    from training.evaluation.attacks import OPTIONS, find_attack
    from training.evaluation.empirical import evaluate_network, evaluated_backend, merge_results
    from training.evaluation.empirical_log import EmpiricalLog, empirical_run
    from training.evaluation.empirical_report import json_of, sentences
    from training.tasks import open_task
    from training.threat import ThreatModel
    from zoo.checkpoints.writing import record_results
    from zoo.cli._console import PlainConsole
    from zoo.errors import RequestError
    from zoo.loading.device import device_for
    from zoo.loading.locate import locate

    sigmas = parse_numbers(noise_sigmas, "--noise-sigmas")
    threat = ThreatModel(norm=cast("Norm", norm), epsilon=epsilon)
    settings = (attack_steps, restarts, loss, sigma, noise_samples, n)
    if attack is None and any(setting is not None for setting in settings):
        raise RequestError(f"{', '.join(OPTIONS.values())} need an attack: give --attack NAME too")
    require_recordable(model, record)
    selection = image_selection(skip=skip, maximum=maximum, images=images, sample=sample, seed=seed)
    checkpoint = locate(model)
    opened = open_task(task, data_dir=data_dir)
    require_same_classes(checkpoint, opened)
    if attack == "smoothed-pgd" and sigma is None:
        sigma = checkpoint.spec.certified.sigma
    chosen = None
    if attack is not None:
        chosen = find_attack(
            attack,
            threat,
            num_steps=attack_steps,
            num_restarts=restarts,
            loss=cast("Loss | None", loss),
            sigma=sigma,
            num_noise_samples=noise_samples,
            n=n,
            num_classes=opened.num_classes,
            seed=seed,
        )
    base = evaluated_backend(checkpoint, device=device_for(checkpoint, device), precision=precision)
    run = empirical_run(
        checkpoint, opened, attack=chosen, base=base, batch_size=batch_size, seed=seed, sample=selection.sample
    )
    measure = partial(
        evaluate_network,
        base,
        opened,
        checkpoint.spec.preprocessing,
        sigmas=sigmas,
        batch_size=batch_size,
        seed=seed,
        selection=selection,
    )
    cluster = engine_workers(engine, num_workers=workers, address=ray_address, device=device)
    with interruptible(hint=_resume_hint(output)), cluster as tasks:
        if tasks is not None:
            from training.evaluation.pieces import EvaluationOnWorkers

            on_workers = EvaluationOnWorkers(
                workers=tasks, checkpoint=checkpoint, batch_size=batch_size, precision=precision, base=base
            )
            measure = partial(measure, measure=on_workers)
        result = measure(
            attack=chosen,
            log=None if output is None else EmpiricalLog(output, run),
            console=PlainConsole(stderr=True, quiet=chosen is None),
        )
        if record:
            measure_base = cache(measure)
            if result.classifier == "smoothed" and checkpoint.spec.certified.empirical is None:
                measure_base()  # now, and not while the checkpoint is locked
            record_results(checkpoint, empirical=partial(merge_results, measured=result, measure_base=measure_base))
    echo(json_of(result) if as_json else "\n".join(sentences(result)))


def _resume_hint(output: Path | None) -> str:
    if output is None:
        return "nothing is kept without --output"
    return "every finished row is kept; run the same command to resume"
