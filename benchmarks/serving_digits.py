"""The digits model that the benchmarks of servers serve, and the images that their clients send.

The model is trained once and kept in runs/serving-benchmark.
"""

from __future__ import annotations

from pathlib import Path

import torch
from rich.console import Console

from benchmarks.serving_load import SurePicture, sure_pictures
from training.objectives.consistency import Consistency
from training.recipe import override
from training.recipes import quick
from training.run import TrainingRun
from training.tasks import Task, open_task
from training.trainer import train
from zoo.checkpoints.checkpoint import Checkpoint, open_checkpoint
from zoo.loading.backend import open_backend

FOLDER = Path("runs/serving-benchmark")
NUM_PICTURES = 24


def digits_and_pictures(architecture: str) -> tuple[Checkpoint, list[SurePicture]]:
    """The small digits model, and images on which it is confident. No backend stays open."""
    task = open_task("digits", data_dir=FOLDER)
    checkpoint = digits_checkpoint(architecture, task)
    return checkpoint, sure_pictures(checkpoint, open_backend(checkpoint), task, count=NUM_PICTURES)


def digits_checkpoint(architecture: str, task: Task) -> Checkpoint:
    """The small digits model, trained with the quick recipe unless an earlier call has trained it."""
    folder = FOLDER / architecture
    if not (folder / "manifest.json").exists():
        recipe = override(quick(Consistency()), [f"architecture={architecture}"])
        run = TrainingRun(task=task, recipe=recipe, seed=0, output=folder)
        train(run, device=torch.device("cpu"), resume=folder.exists(), console=Console(stderr=True))
    return open_checkpoint(folder)
