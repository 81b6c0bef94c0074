"""One run of a study: train, evaluate, certify; each part is gone on with where it was cut off."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import torch
from rich.console import Console

from training.run import TrainingRun
from training.study.folder import StudyFolder
from training.study.measurement import certifications, empirical_result
from training.study.plan import Run
from training.study.result import RunResult, Seconds
from training.tasks import open_task
from training.trainer import train
from zoo.checkpoints.checkpoint import Checkpoint, open_checkpoint
from zoo.loading.device import pick_device
from zoo.loading.locate import locate

PACKAGES = ("certified-zoo", "numpy", "onnxruntime-gpu", "torch", "torchvision")


@dataclass(frozen=True, slots=True, kw_only=True)
class Workplace:
    """Where runs are computed: a device as `--device` takes it, the data folder, and where progress is told."""

    device: str
    data_dir: Path
    console: Console

    @property
    def torch_device(self) -> torch.device:
        return pick_device(self.device)


def perform(run: Run, folder: StudyFolder, place: Workplace, *, study: str) -> RunResult:
    """Trains the run's network, unless it is there, and measures it; returns the result, which is not yet written.

    Raises: ZooError where a part cannot be done; what was finished of it is kept and the next call goes on.
    """
    task = open_task(run.task, data_dir=place.data_dir)
    parent = _parent(run, folder)
    output = folder.checkpoint_path(run.id)
    was_resumed = output.exists()
    quiet = Console(quiet=True)
    clock = _Clock()
    trained = TrainingRun(task=task, recipe=run.recipe, seed=run.seed, output=output, parent=parent)
    checkpoint = train(trained, device=place.torch_device, resume=True, console=quiet)
    train_seconds = clock.lap()
    empirical = empirical_result(run, checkpoint, task, folder, device=place.torch_device)
    evaluate_seconds = clock.lap()
    certified = certifications(run, checkpoint, task, folder, device=place.torch_device, console=quiet)
    return RunResult(
        id=run.id,
        study=study,
        request=run.request(),
        num_classes=task.num_classes,
        num_train_images=checkpoint.spec.certified.num_train_images or 0,
        weights_sha256=checkpoint.weights_sha256,
        parent_sha256=None if parent is None else parent.weights_sha256,
        empirical=empirical,
        certifications=certified,
        versions={name: version(name) for name in PACKAGES},
        device=str(place.torch_device),
        num_threads=torch.get_num_threads(),
        seconds=Seconds(train=train_seconds, evaluate=evaluate_seconds, certify=clock.lap()),
        was_resumed=was_resumed,
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _parent(run: Run, folder: StudyFolder) -> Checkpoint | None:
    if run.parent is not None:
        return open_checkpoint(folder.checkpoint_path(run.parent))
    return None if run.model is None else locate(run.model)


class _Clock:
    """Seconds since the last lap."""

    def __init__(self) -> None:
        self._last = time.perf_counter()

    def lap(self) -> float:
        before, self._last = self._last, time.perf_counter()
        return round(self._last - before, 2)
