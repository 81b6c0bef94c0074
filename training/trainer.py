"""The training loop: data, objective, optimizer, schedule, resume. The loop is the same for every objective."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import islice
from statistics import fmean

import torch
from rich.console import Console
from torch import Tensor, nn
from torch.utils.data import DataLoader

from training.collectives import broadcast_from_first, sum_over_ranks
from training.denoising import (
    classifier_weights,
    module_of_loss,
    predicted_labels,
    split_with_denoiser,
    trained_epochs,
    trained_module,
)
from training.distributed import SINGLE_PROCESS, Ranks
from training.epoch_line import epoch_line
from training.evaluation.empirical import votes_under_noise
from training.freezing import freeze_parameters, to_train_mode
from training.metric_logger import MetricLogger, NullLogger
from training.objectives import Batch, ObjectiveOutput
from training.objectives import Progress as TrainingProgress
from training.optimization import Optimization
from training.phases import Phases
from training.recipe_lines import recipe_lines
from training.run import TrainingRun, limited_task, split_of
from training.run_folder import RunFolder, RunState
from training.schedule import is_exhausted
from training.starting_point import fitted_preprocessing, published_network, starting_network
from training.streams import derived_seed, global_stream, stream
from training.tasks.loader_workers import num_loader_workers
from training.tasks.loading import EvaluationImages, ShuffledBatches, TrainingImages, loaded_batches
from training.tasks.task import Subset, listed
from zoo.checkpoints.checkpoint import Checkpoint, open_checkpoint
from zoo.checkpoints.weights import serialized
from zoo.checkpoints.writing import save_checkpoint, save_weights
from zoo.cli._progress import progress_bar
from zoo.errors import CheckpointError, DivergenceError, RecipeError
from zoo.models.layout import DENOISER, WEIGHTS
from zoo.results.balanced_accuracy import balanced_accuracy
from zoo.smoothing.backends import Classes, arithmetic, evaluating

EVALUATION_BATCH_SIZE = 256
LEAST_STEPS_PER_ROUND = 20
"""A run with a budget of steps validates and saves after at least so many: an epoch of few images has few steps."""


def train(
    run: TrainingRun, *, device: torch.device, resume: bool, console: Console, ranks: Ranks = SINGLE_PROCESS
) -> Checkpoint:
    """Trains and returns the checkpoint in `run.output`, which is written after every epoch.

    Under torchrun every rank calls this function, and the first rank writes the files.

    Args:
        run: run to train.
        device: device to train on.
        resume: continue the run in `run.output` after its last finished epoch, if it has one.
        console: console for the resolved recipe and the progress bar.
        ranks: this process's rank among those that train together.
    Raises: DivergenceError at the first loss or gradient that is not finite; RecipeError if the folder contains a
    different run; CheckpointError if a file cannot be written (the last finished epoch is kept).
    """
    folder = RunFolder(run.output / ".run")
    state = None
    with ranks.failing_together():
        if ranks.is_first:
            if resume:
                state = folder.resume(run.identity(ranks), device=device)
            else:
                folder.begin(run.identity(ranks), device=device)
    state = ranks.broadcast(state)
    for line in recipe_lines(run.recipe):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    with ranks.failing_together():
        loop = _Loop(run, folder, device, ranks)
    if loop.untrained_classes:
        sentence = f"no training picture of {listed(loop.untrained_classes)}: the network cannot learn these classes"
        console.print(f"note: {sentence}", markup=False, highlight=False, soft_wrap=True)
    if run.parent is not None and run.parent.spec.certified.denoiser and not run.recipe.objective.trains_denoiser:
        sentence = f"training starts from the classifier of {run.parent.path}, without its denoiser"
        console.print(f"note: {sentence}", markup=False, highlight=False, soft_wrap=True)
    with ranks.translating_lost_ranks():
        loop.prepare(state)
    with ranks.failing_together():
        logger = MetricLogger(folder.path, steps_done=loop.steps_done) if ranks.is_first else NullLogger()
    bar = progress_bar(
        console,
        "training",
        total=loop.phases.num_steps,
        completed=loop.steps_done,
        unit="steps",
        shown="loss {:.3f}",
    )
    with bar as advance, logger, ranks.translating_lost_ranks():
        while not loop.is_finished:
            line = loop.run_round(logger, advance)
            console.print(line, markup=False, highlight=False, soft_wrap=True)
            with ranks.failing_together():
                loop.save()
    with ranks.failing_together():
        checkpoint = loop.published() if ranks.is_first else None
    return ranks.broadcast(checkpoint) or open_checkpoint(run.output)


class _Loop:
    """The state of a run between two epochs."""

    def __init__(self, run: TrainingRun, folder: RunFolder, device: torch.device, ranks: Ranks) -> None:
        recipe = run.recipe
        self.run, self.folder, self.device, self.ranks = run, folder, device, ranks
        self.epochs_done = 0
        self.history: list[float] = []
        self.task = limited_task(run)
        preprocessing = fitted_preprocessing(self.task, recipe, run.parent)
        self.train_indices, self.validation_indices = split_of(run, self.task)
        self.images = TrainingImages(
            Subset(self.task.train, self.train_indices),
            preprocessing,
            recipe.objective.augmentation or recipe.augmentation_of(self.task.augmentation),
            seed=run.seed,
            num_views=recipe.objective.num_views,
        )
        self.validation = EvaluationImages(Subset(self.task.train, self.validation_indices), preprocessing)
        if recipe.schedule.name == "plateau" and len(self.validation) == 0:
            raise RecipeError(
                "schedule.name=plateau needs validation images, and "
                f"validation_share={recipe.validation_share:g} of {len(self.images)} images leaves none: raise it"
            )
        num_parts = ranks.world_size * recipe.accumulation
        if len(self.images) < 2 * num_parts:
            raise RecipeError(
                f"{len(self.images)} training images are too few for {num_parts} part(s) of a batch: each part "
                "needs at least two for batch normalization"
            )
        own = range(ranks.rank * recipe.accumulation, (ranks.rank + 1) * recipe.accumulation)
        self.batches = ShuffledBatches(len(self.images), recipe.batch_size, run.seed, num_parts, own)
        self.loader = DataLoader(
            self.images,
            batch_sampler=self.batches,
            num_workers=self._num_workers(len(self.images)),
            pin_memory=device.type == "cuda",
        )
        self.phases = Phases(recipe=recipe, steps_per_epoch=self.batches.num_batches)
        least = 1 if recipe.total_steps is None else LEAST_STEPS_PER_ROUND
        self.epochs_per_round = math.ceil(least / self.batches.num_batches)
        self.network = starting_network(self.task, recipe, seed=run.seed, parent=run.parent)
        self.trained = trained_module(self.network)
        self.classifier = classifier_weights(self.network, run.parent) if recipe.objective.trains_denoiser else None
        self.trainable = [parameter for parameter in self.trained.parameters() if parameter.requires_grad]

    def _num_workers(self, num_images: int) -> int:
        """The loader processes: those of the recipe, or the default for the device."""
        world_size = self.ranks.world_size
        default = num_loader_workers(self.device, num_images=num_images // world_size, num_processes=world_size)
        return self.run.recipe.num_workers or default

    def prepare(self, state: RunState | None) -> None:
        """Moves the network to the device, distributes it over the ranks and restores a saved state. Collective."""
        if state is not None:
            self.epochs_done, self.history = state.epochs_done, list(state.history)
        self._begin_phase(max(0, self.steps_done - 1))  # the phase whose optimizer was saved
        if state is not None:
            self.trained.load_state_dict(state.weights)
            self.optimization.optimizer.load_state_dict(state.optimizer)

    def _begin_phase(self, step: int) -> None:
        """Trains the layers of the phase that contains the step, with a new optimizer. Collective."""
        recipe = self.run.recipe
        self.freeze = self.phases.freeze(step)
        for parameter in self.trainable:
            parameter.requires_grad_(True)
        freeze_parameters(self.network.backbone, self.freeze)
        self.optimization = Optimization(module_of_loss(self.network, recipe.objective), recipe, self.device)

    @property
    def untrained_classes(self) -> list[str]:
        """The names of the classes that no training image shows, if the method learns classes."""
        labels = self.task.train.labels
        shown = {labels[index] for index in self.train_indices}
        names = self.task.class_names if self.run.recipe.objective.learns_classes else ()
        return [name for label, name in enumerate(names) if label not in shown]

    @property
    def steps_done(self) -> int:
        return min(self.epochs_done * self.batches.num_batches, self.phases.num_steps)

    @property
    def is_finished(self) -> bool:
        return self.steps_done == self.phases.num_steps or is_exhausted(self.run.recipe.schedule, self.history)

    def run_round(self, logger: MetricLogger, advance: Callable[[float], None]) -> str:
        """Trains for one epoch, or for several short ones, then validates; returns a line with the scores."""
        losses: list[float] = []
        while not losses or (self.epochs_done % self.epochs_per_round > 0 and self.steps_done < self.phases.num_steps):
            losses += self._run_epoch(logger, advance)
        broadcast_from_first(
            list(self.trained.buffers())
        )  # validation then uses the running statistics of the checkpoint
        scores = {"loss": fmean(losses)}
        if len(self.validation) > 0:
            validated = self._validated()
            self.history.append(validated["accuracy_under_noise"])
            logger.write("validation", {"epochs": self.epochs_done, **validated}, step=self.steps_done)
            scores |= validated
        return epoch_line(
            scores,
            epoch=self.epochs_done,
            step=self.steps_done,
            num_steps=self.phases.num_steps,
            trains_only_head=self.phases.trains_only_head(self.steps_done - 1),
        )

    def _run_epoch(self, logger: MetricLogger, advance: Callable[[float], None]) -> Iterator[float]:
        """Trains for one epoch, or for its part until the run's last step; yields the loss of each step."""
        recipe, first = self.run.recipe, self.steps_done
        self.images.epoch = self.batches.epoch = self.epochs_done
        self._to_train_mode()
        loaded = loaded_batches(self.loader)
        for step, (start, end) in enumerate(self.batches.bounds[: self.phases.num_steps - first], start=first):
            if self.phases.freeze(step) != self.freeze:
                self._begin_phase(step)
                self._to_train_mode()
            parts = [self._batch(*part) for part in islice(loaded, recipe.accumulation)]
            values = self._update(parts, batch_size=end - start, step=step)
            logger.write("train", values, step=step + 1)
            advance(values["loss"])
            yield values["loss"]
        self.epochs_done += 1

    def _to_train_mode(self) -> None:
        statistics = self.run.recipe.batch_statistics
        to_train_mode(self.optimization.model, self.network.backbone, self.freeze, statistics)
        if self.run.recipe.objective.trains_denoiser:
            self.network.backbone.eval()

    def save(self) -> Checkpoint | None:
        """Writes the resume state, then the checkpoint, on the first rank only."""
        if not self.ranks.is_first:
            return None
        weights = self.trained.state_dict()
        optimizer = self.optimization.optimizer.state_dict()
        self.folder.save_state(RunState(self.epochs_done, weights, optimizer, self.history))
        split = {
            "task": dict(self.task.split),
            "validation_share_of_train": self.run.recipe.validation_share,
            "train": self.train_indices,
            "validation": self.validation_indices,
        }
        spec = self.run.spec(
            self.task,
            epochs=self.epochs_done,
            num_train_images=len(self.images),
            num_ranks=self.ranks.world_size,
            device=self.device.type,
            is_synchronized=self.optimization.is_synchronized,
        )
        if self.classifier is not None:
            files = {WEIGHTS: self.classifier, DENOISER: serialized(self.trained, self.run.output / DENOISER)}
            return save_weights(self.run.output, files, spec, split=split_with_denoiser(self.run.parent, split))
        published = published_network(self.network, self.task, self.run.recipe, seed=self.run.seed)
        return save_checkpoint(self.run.output, published, spec, split=split)

    def published(self) -> Checkpoint:
        """The checkpoint on disk; writes it if the run was interrupted between writing its state and its checkpoint."""
        try:
            checkpoint = open_checkpoint(self.run.output)
        except CheckpointError:
            checkpoint = None
        if checkpoint is None or trained_epochs(checkpoint.spec) != self.epochs_done:
            self.save()
        return open_checkpoint(self.run.output)

    def _batch(self, x_bytes: Tensor, labels_B: Tensor, numbers_B: Tensor) -> Batch:
        if self.run.recipe.objective.num_views > 1:
            x_bytes = x_bytes.transpose(0, 1).flatten(0, 1)
        x_BCHW = self.optimization.to_pixels(x_bytes)
        if self.run.recipe.objective.learns_from_classifier:
            labels_B = predicted_labels(self.network, x_BCHW)
        return Batch(x_BCHW, labels_B.to(self.optimization.device), numbers_B)

    def _update(self, parts: list[Batch], *, batch_size: int, step: int) -> dict[str, float]:
        progress = TrainingProgress(step / self.batches.num_batches)
        objective, rate = self.phases.objective(step), self.phases.rate(step, history=self.history)

        def loss_of(model: nn.Module, part: Batch) -> ObjectiveOutput:
            generator = stream(self.run.seed, "noise", step)  # re-created per part: noise is keyed by image
            # Dropout and stochastic depth draw from torch's global generators.
            first, device = int(part.numbers_B[0]), self.optimization.device
            with global_stream(self.run.seed, "layers", step, first, device=device):
                return objective(model, part, progress=progress, generator=generator)

        values = self.optimization.step(
            parts,
            loss_of,
            batch_size=batch_size,
            rate=rate,
            check=lambda name, value: self._require_finite(value, name, step),
        )
        return {"loss": values.loss, "gradient_norm": values.gradient_norm, "lr": rate, **values.metrics}

    def _require_finite(self, value: float, name: str, step: int) -> None:
        if math.isfinite(value):
            return
        recipe = self.run.recipe
        only_head = self.phases.trains_only_head(step)
        field, rate = ("head_rate", recipe.head_rate) if only_head else ("optimizer.lr", recipe.optimizer.lr)
        advice = f"lower the learning rate, --set {field}={rate / 10:g}"
        if recipe.gradient_clip_norm is None:
            advice += ", or clip gradients, --set gradient_clip_norm=10"
        error = DivergenceError(
            f"the {name} is {value} at step {step} (epoch {self.epochs_done + 1}) with {field}="
            f"{rate:g}: {advice}, and choose another --output. Nothing of this epoch was saved."
        )
        raise self.ranks.reported_once(error)

    def _validated(self) -> dict[str, float]:
        """The accuracy on the validation images under one draw of noise each, and its mean over the classes."""
        own = range(self.ranks.rank, len(self.validation), self.ranks.world_size)
        counts_2K = torch.zeros(2, self.task.num_classes, dtype=torch.int64)
        if len(own) > 0:
            votes_NK = votes_under_noise(
                self._classify,
                self.validation,
                own,
                num_classes=self.task.num_classes,
                sigma=self.run.recipe.objective.sigma or 0.0,
                batch_size=EVALUATION_BATCH_SIZE,
                seed=derived_seed(self.run.seed, "validation-noise"),
                device=self.optimization.device,
                num_workers=self._num_workers(len(self.validation)),
            )
            labels_N = torch.tensor([self.validation.images.labels[number] for number in own])
            correct_N = labels_N[votes_NK.argmax(dim=1) == labels_N]
            counts_2K = torch.stack([labels.bincount(minlength=len(counts_2K[0])) for labels in (correct_N, labels_N)])
        corrects, totals = sum_over_ranks(counts_2K).tolist()
        return {
            "accuracy_under_noise": sum(corrects) / len(self.validation),
            "mean_per_class": balanced_accuracy(corrects, totals),
        }

    def _classify(self, x_BCHW: Tensor) -> Classes:
        device, dtype = self.optimization.device, self.optimization.dtype
        with evaluating(self.network), arithmetic("float32", device.type), torch.inference_mode():
            classes_B: Classes = self.network(x_BCHW.to(device, dtype)).argmax(dim=1).cpu().numpy()
        return classes_B
