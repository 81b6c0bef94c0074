"""The only training loop: data, objective, optimizer, schedule, resume. It never asks which objective it holds."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.tensorboard import SummaryWriter

from training.evaluation.empirical import accuracy_under_noise
from training.objectives import Batch
from training.objectives import Progress as TrainingProgress
from training.objectives.table import objective_name
from training.recipe import TrainingRecipe
from training.run_folder import RunFolder, RunIdentity, RunState
from training.schedule import is_exhausted, rate_factor
from training.streams import derived_seed, global_cpu_stream, stream
from training.tasks import Task
from training.tasks.loading import EvaluationImages, ShuffledBatches, TrainingImages
from training.tasks.task import Subset, stratified_split
from zoo.architecture import NormalizedNetwork, build_network
from zoo.checkpoint import Checkpoint, open_checkpoint, save_checkpoint
from zoo.errors import CheckpointError, DivergenceError
from zoo.preprocessing import to_pixels
from zoo.spec import CertifiedConfig, ModelSpec

EVALUATION_BATCH_SIZE = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRun:
    """What is trained, from where, and where it goes. `output` becomes the checkpoint directory."""

    task: Task
    recipe: TrainingRecipe
    seed: int
    output: Path
    parent: Checkpoint | None = None

    @property
    def identity(self) -> RunIdentity:
        parent = None if self.parent is None else self.parent.weights_sha256
        return RunIdentity(
            recipe=self.recipe, task=self.task.name, data=self.task.digest, seed=self.seed, parent=parent
        )

    def spec_after(self, epochs: int) -> ModelSpec:
        """The spec of the checkpoint after that many epochs."""
        hyper_parameters = asdict(self.recipe.objective)
        return ModelSpec(
            architecture=self.recipe.architecture,
            num_classes=self.task.num_classes,
            certified=CertifiedConfig(
                objective=objective_name(self.recipe.objective),
                hyper_parameters=hyper_parameters,
                sigma=self.recipe.objective.sigma,
                task=self.task.name,
                class_names=self.task.class_names,
                parent=self.identity.parent,
                seed=self.seed,
                epochs=epochs,
                recipe_digest=self.recipe.digest(),
                preprocessing=self.recipe.fit_preprocessing(self.task.preprocessing),
            ),
        )


def train(run: TrainingRun, *, device: torch.device, resume: bool, console: Console) -> Checkpoint:
    """Trains and returns the checkpoint in `run.output`, which is written after every epoch.

    Raises: DivergenceError at the first loss or gradient that is not finite; RecipeError if the folder holds another
    run.
    """
    folder = RunFolder(run.output / ".run")
    state = None
    if resume:
        state = folder.resume(run.identity)
    else:
        folder.begin(run.identity)
    console.print_json(json.dumps(run.recipe.describe()))
    loop = _Loop(run, folder, device)
    if state is not None:
        loop.restore(state)
    with _progress_bar(console, run, loop) as advance, SummaryWriter(str(folder.scalars)) as scalars:
        while loop.epochs_done < run.recipe.epochs and not is_exhausted(run.recipe.schedule, loop.history):
            loop.run_epoch(scalars, advance)
            loop.save()
    return loop.published()


class _Loop:
    """A run between two epochs."""

    def __init__(self, run: TrainingRun, folder: RunFolder, device: torch.device) -> None:
        recipe, task = run.recipe, run.task
        self.run, self.folder = run, folder
        self.epochs_done = 0
        self.history: list[float] = []
        if device.index is not None:
            torch.cuda.set_device(device)  # Accelerate takes the current one
        AcceleratorState._reset_state(reset_partial_state=True)  # its settings outlive a run in the same process
        self.accelerator = Accelerator(cpu=device.type == "cpu", mixed_precision=_mixed_precision(recipe, device))
        self.device = self.accelerator.device

        preprocessing = recipe.fit_preprocessing(task.preprocessing)
        self.train_indices, self.validation_indices = stratified_split(
            task.train.labels, share=recipe.validation_share, seed=derived_seed(run.seed, "validation")
        )
        self.images = TrainingImages(
            Subset(task.train, self.train_indices), preprocessing, task.augmentation, seed=run.seed
        )
        self.validation = EvaluationImages(Subset(task.train, self.validation_indices), preprocessing)
        self.batches = ShuffledBatches(len(self.images), recipe.batch_size, run.seed)

        self.network = _initial_network(run)
        optimizer = torch.optim.SGD(self.network.parameters(), **asdict(recipe.optimizer))
        loader = DataLoader(
            self.images,
            batch_sampler=self.batches,
            num_workers=recipe.num_workers,
            pin_memory=device.type == "cuda",
        )
        self.model, self.optimizer, self.loader = self.accelerator.prepare(self.network, optimizer, loader)

    def restore(self, state: RunState) -> None:
        self.epochs_done, self.history = state.epochs_done, list(state.history)
        self.network.backbone.load_state_dict(state.backbone)
        self.optimizer.load_state_dict(state.optimizer)

    def run_epoch(self, scalars: SummaryWriter, advance: Any) -> None:
        epoch = self.epochs_done
        self.images.epoch = self.batches.epoch = epoch
        noise = stream(self.run.seed, "noise", epoch, device=self.device)
        self.model.train()
        for index, (x_bytes, labels_B) in enumerate(self.loader):
            step = epoch * len(self.batches) + index
            batch = Batch(to_pixels(x_bytes), labels_B)
            values = self._update(batch, step=step, epochs=step / len(self.batches), noise=noise)
            for name, value in values.items():
                scalars.add_scalar(f"train/{name}", value, step)
            advance(loss=values["loss"])
        self.epochs_done += 1
        if len(self.validation) > 0:
            self.history.append(self._validation_accuracy())
            scalars.add_scalar("validation/accuracy_under_noise", self.history[-1], self.epochs_done)

    def save(self) -> Checkpoint:
        """Writes the resume state, then the checkpoint."""
        backbone = self.network.backbone.state_dict()
        self.folder.save_state(RunState(self.epochs_done, backbone, self.optimizer.state_dict(), self.history))
        split = {
            "task": dict(self.run.task.split),
            "validation_share_of_train": self.run.recipe.validation_share,
        }
        split |= {"train": self.train_indices, "validation": self.validation_indices}
        return save_checkpoint(self.run.output, self.network, self.run.spec_after(self.epochs_done), split=split)

    def published(self) -> Checkpoint:
        """The checkpoint on disk; written first if the run was cut off between its state and its checkpoint."""
        try:
            checkpoint = open_checkpoint(self.run.output)
        except CheckpointError:
            return self.save()
        return checkpoint if checkpoint.spec.certified.epochs == self.epochs_done else self.save()

    def _update(self, batch: Batch, *, step: int, epochs: float, noise: torch.Generator) -> dict[str, float]:
        recipe = self.run.recipe
        factor = rate_factor(
            recipe.schedule,
            step=step,
            steps_per_epoch=len(self.batches),
            total_epochs=recipe.epochs,
            history=self.history,
        )
        for group in self.optimizer.param_groups:
            group["lr"] = recipe.optimizer.lr * factor
        output = recipe.objective(self.model, batch, progress=TrainingProgress(epochs), generator=noise)
        loss = self._require_finite(output.loss.detach(), "loss", step)
        self.accelerator.backward(output.loss)
        limit = math.inf if recipe.gradient_clip_norm is None else recipe.gradient_clip_norm
        norm = self.accelerator.clip_grad_norm_(self.network.parameters(), limit)
        gradient_norm = self._require_finite(norm, "gradient norm", step)
        self.optimizer.step()
        self.optimizer.zero_grad()
        metrics = {name: float(value) for name, value in output.metrics.items()}
        return {"loss": loss, "gradient_norm": gradient_norm, "lr": recipe.optimizer.lr * factor, **metrics}

    def _require_finite(self, value: Tensor, what: str, step: int) -> float:
        number = float(value)
        if math.isfinite(number):
            return number
        recipe = self.run.recipe
        clip = recipe.gradient_clip_norm
        advice = f"lower the learning rate, --set optimizer.lr={recipe.optimizer.lr / 10:g}"
        if clip is None:
            advice += ", or clip gradients, --set gradient_clip_norm=10"
        raise DivergenceError(
            f"the {what} is {number} at step {step} (epoch {self.epochs_done + 1}) with optimizer.lr="
            f"{recipe.optimizer.lr:g}: {advice}, and choose another --output. Nothing of this epoch was saved."
        )

    def _validation_accuracy(self) -> float:
        return accuracy_under_noise(
            self.network,
            self.validation,
            sigma=self.run.recipe.objective.sigma or 0.0,
            device=self.device,
            batch_size=EVALUATION_BATCH_SIZE,
            seed=derived_seed(self.run.seed, "validation-noise"),
        )


def _initial_network(run: TrainingRun) -> NormalizedNetwork:
    preprocessing = run.recipe.fit_preprocessing(run.task.preprocessing)
    with global_cpu_stream(run.seed, "weights"):
        network = build_network(run.recipe.architecture, num_classes=run.task.num_classes, preprocessing=preprocessing)
    if run.parent is not None:
        keep_head = run.parent.spec.certified.class_names == run.task.class_names
        _copy_weights(run.parent, network, keep_head=keep_head)
    return network


def _copy_weights(parent: Checkpoint, network: NormalizedNetwork, *, keep_head: bool) -> None:
    weights = parent.load_network().backbone.state_dict()
    fresh = network.backbone.state_dict()
    if not keep_head:
        weights |= {name: value for name, value in fresh.items() if name.startswith("fc.")}
    try:
        network.backbone.load_state_dict(weights, strict=True)
    except RuntimeError as error:
        raise CheckpointError(
            f"--init {parent.path} is a {parent.spec.architecture} and does not fit: {error}"
        ) from error


def _mixed_precision(recipe: TrainingRecipe, device: torch.device) -> str:
    if recipe.precision == "auto":
        return "bf16" if device.type == "cuda" and torch.cuda.is_bf16_supported() else "no"
    return "bf16" if recipe.precision == "bfloat16" else "no"


@contextmanager
def _progress_bar(console: Console, run: TrainingRun, loop: _Loop) -> Iterator[Any]:
    columns = (
        TextColumn("training"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.3f}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task(
            "training",
            total=run.recipe.epochs * len(loop.batches),
            completed=loop.epochs_done * len(loop.batches),
            loss=math.nan,
        )
        yield lambda *, loss: progress.update(bar, advance=1, loss=loss)
