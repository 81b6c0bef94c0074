"""Executes one run of a study: train, evaluate, certify; each part resumes where it was interrupted."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import torch
from rich.console import Console

from training.evaluation.attacks import find_attack
from training.evaluation.certification import certify_images
from training.evaluation.certification_log import certification_run
from training.evaluation.empirical import evaluate_network, evaluated_backend
from training.evaluation.empirical_log import EmpiricalLog, empirical_run
from training.evaluation.recording import certification_result
from training.run import TrainingRun
from training.study.folder import StudyFolder
from training.study.plan import Run
from training.study.result import RunResult, Seconds
from training.tasks import Task, open_task
from training.threat import ThreatModel
from training.trainer import train
from zoo.checkpoints.checkpoint import Checkpoint, open_checkpoint
from zoo.loading.backend import default_batch_size, open_backend
from zoo.loading.device import pick_device
from zoo.loading.locate import locate
from zoo.models.measurements import Attack, CertificationResult, EmpiricalResult
from zoo.smoothing import FixedSample, SamplingOptions, SmoothingSpec

PACKAGES = ("certified-zoo", "numpy", "onnxruntime-gpu", "torch", "torchvision")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnvironment:
    """The environment of runs: a device as in `--device`, the data folder, and the console for progress."""

    device: str
    data_dir: Path
    console: Console

    @property
    def torch_device(self) -> torch.device:
        return pick_device(self.device)


def execute_run(run: Run, folder: StudyFolder, environment: RunEnvironment, *, study: str) -> RunResult:
    """Trains the run's network, unless its checkpoint exists, and measures it; returns the result without writing it.

    Raises: ZooError if a part fails; the finished parts are kept, and the next call resumes.
    """
    task = open_task(run.task, data_dir=environment.data_dir)
    parent = _parent(run, folder)
    output = folder.checkpoint_path(run.id)
    was_resumed = output.exists()
    quiet = Console(quiet=True)
    clock = _Clock()
    trained = TrainingRun(
        task=task, recipe=run.recipe, seed=run.seed, output=output, parent=parent, parent_id=_parent_id(run)
    )
    checkpoint = train(trained, device=environment.torch_device, resume=True, console=quiet)
    train_seconds = clock.lap()
    empirical = empirical_result(run, checkpoint, task, folder, device=environment.torch_device)
    evaluate_seconds = clock.lap()
    certified = certifications(run, checkpoint, task, folder, device=environment.torch_device, console=quiet)
    return RunResult(
        id=run.id,
        study=study,
        request=run.request(),
        num_classes=task.num_classes,
        num_train_images=checkpoint.spec.certified.num_train_images or 0,
        weights_sha256=checkpoint.weights_sha256,
        parent_sha256=trained.parent_sha256,
        empirical=empirical,
        certifications=certified,
        versions={name: version(name) for name in PACKAGES},
        device=str(environment.torch_device),
        num_threads=torch.get_num_threads(),
        seconds=Seconds(train=train_seconds, evaluate=evaluate_seconds, certify=clock.lap()),
        was_resumed=was_resumed,
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _parent(run: Run, folder: StudyFolder) -> Checkpoint | None:
    if run.parent is not None:
        return open_checkpoint(folder.checkpoint_path(run.parent))
    return None if run.model is None else locate(run.model)


def _parent_id(run: Run) -> str | None:
    """The Hub or catalog id of the starting point; None for a checkpoint directory."""
    return None if run.model is None or Path(run.model).is_dir() else run.model


class _Clock:
    """Seconds since the last lap."""

    def __init__(self) -> None:
        self._last = time.perf_counter()

    def lap(self) -> float:
        before, self._last = self._last, time.perf_counter()
        return round(self._last - before, 2)


def empirical_result(
    run: Run, checkpoint: Checkpoint, task: Task, folder: StudyFolder, *, device: torch.device
) -> EmpiricalResult | None:
    """Accuracy of the base classifier on the run's images, and under attack and noise where requested.

    The folder's log keeps one row per image. None for a network whose last layer is untrained.
    """
    if not checkpoint.spec.certified.has_trained_head:
        return None
    attack, batch_size = _attack(run, task) if run.measure.attack else None, run.evaluation.batch_size
    selection = run.evaluated.selection(run.seed)
    is_channels_last = run.recipe.memory_format == "channels-last"
    base = evaluated_backend(checkpoint, device=device, is_channels_last=is_channels_last)
    evaluated = empirical_run(
        checkpoint, task, attack=attack, base=base, batch_size=batch_size, seed=run.seed, sample=selection.sample
    )
    return evaluate_network(
        base,
        task,
        checkpoint.spec.preprocessing,
        sigmas=run.evaluation.noise_sigmas if run.measure.noise else (),
        batch_size=batch_size,
        seed=run.seed,
        attack=attack,
        selection=selection,
        log=EmpiricalLog(folder.evaluation_path(run), evaluated),
    )


def certifications(
    run: Run, checkpoint: Checkpoint, task: Task, folder: StudyFolder, *, device: torch.device, console: Console
) -> tuple[CertificationResult, ...]:
    """The certification of the smoothed classifier at each of the run's sigmas; the folder's logs keep the rows."""
    if not run.measure.certify:
        return ()
    base = open_backend(checkpoint, device=device, spins=False)  # another run may use the same cores
    options = SamplingOptions(batch_size=default_batch_size(checkpoint, device))
    selection = run.certified.selection(run.seed)
    indices = selection.of(task.test.labels)
    settings, results = run.evaluation.certification, []
    for sigma in run.measure.certify:
        rule = FixedSample(settings.n, bound=settings.bound)
        smoothing = SmoothingSpec(sigma=sigma, n0=settings.n0, alpha=settings.alpha, stopping=rule)
        certified = certification_run(
            checkpoint,
            task,
            smoothing=smoothing,
            base=base,
            options=options,
            seed=run.seed,
            sample=selection.sample,
        )
        log = folder.log_path(run, sigma)
        rows = certify_images(certified, base, task.test, indices, output=log, options=options, console=console)
        results.append(certification_result(certified, rows, radii=run.evaluation.radii, selection=selection))
    return tuple(results)


def _attack(run: Run, task: Task) -> Attack:
    settings = run.evaluation.attack
    threat = ThreatModel(norm=settings.norm, epsilon=settings.epsilon)
    return find_attack(settings.name, threat, num_steps=settings.num_steps, num_classes=task.num_classes, seed=run.seed)
