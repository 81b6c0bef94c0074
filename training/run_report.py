"""The report at the end of a run: images per class and split, and scores on the validation images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from rich.markup import escape
from rich.table import Table

from training.evaluation.empirical import evaluated_backend, votes_under_noise
from training.run import TrainingRun, limited_task, split_of
from training.streams import derived_seed
from training.tasks.loader_workers import num_loader_workers
from training.tasks.loading import EvaluationImages
from training.tasks.task import Subset
from zoo.checkpoints.checkpoint import Checkpoint
from zoo.cli._shares import percent, percents
from zoo.results.balanced_accuracy import (
    CHANCE_FACTOR,
    MOST_LISTED,
    NUM_LOWEST,
    balanced_accuracy,
    balanced_accuracy_interval,
    is_told_from_chance,
    majority_baseline,
)
from zoo.results.selection import Selection
from zoo.results.summary import Interval, binomial_interval

NUM_DRAWS = 15
"""Noisy copies per validation image, an odd number: the most frequent answer is that of the smoothed classifier."""
MOST_MEASURED = 1000
BATCH_SIZE = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassImages:
    """The images of a class in each split; `num_correct` of its `num_measured` validation images are right."""

    name: str
    train: int
    validation: int
    test: int
    num_measured: int = 0
    num_correct: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationScores:
    """Scores on `num_images` validation images; an answer is the most frequent one to `num_draws` noisy copies.

    Fractions in [0, 1], intervals at 95 % over images. `is_told_from_chance` compares the interval of the mean per
    class with 1.25 / K.
    """

    sigma: float
    num_draws: int
    num_images: int
    accuracy: float
    accuracy_interval: Interval
    mean_per_class: float
    mean_per_class_interval: Interval
    majority_class: str
    majority_baseline: float
    chance: float
    is_told_from_chance: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """What a finished run was trained on, and its scores; None without validation images or without classes."""

    classes: tuple[ClassImages, ...]
    validation: ValidationScores | None
    learns_classes: bool

    @property
    def warning(self) -> str | None:
        """Why the network should not be trusted yet; None if the validation images tell it from chance."""
        scores = self.validation
        if not self.learns_classes or (scores is not None and scores.is_told_from_chance):
            return None
        if scores is None:
            return "no validation image was held out, so nothing here says whether to trust this network"
        low, high = scores.mean_per_class_interval
        less_noise = f", less noise (--set objective.sigma={scores.sigma / 2:g})" if scores.sigma else ""
        return (
            f"the mean per class cannot be told from chance: its interval, {percents((low, high))}, begins below "
            f"{CHANCE_FACTOR:g} / {len(self.classes)} = {percent(CHANCE_FACTOR * scores.chance)}. A certificate of "
            f"such a network says little. Give it more labels{less_noise} or a starting point (--init)"
        )

    def as_json(self) -> dict[str, Any]:
        """The report as JSON values."""
        validation = None if self.validation is None else asdict(self.validation)
        return {"classes": [asdict(row) for row in self.classes], "validation": validation, "warning": self.warning}


def report_of(run: TrainingRun, checkpoint: Checkpoint, *, device: torch.device) -> RunReport:
    """The report of a finished run; of many validation images a stratified sample of 1,000 is measured."""
    task = limited_task(run)
    train, validation = split_of(run, task)
    learns_classes = run.recipe.objective.learns_classes
    held_out = Subset(task.train, validation)
    measured: Counter[int] = Counter()
    correct: Counter[int] = Counter()
    scores = None
    if learns_classes and len(held_out) > 0:
        num_images = min(len(held_out), MOST_MEASURED)
        numbers = Selection(sample="stratified", num_images=num_images, seed=run.seed).of(held_out.labels)
        labels = [held_out.labels[number] for number in numbers]
        answers = _answers(run, checkpoint, held_out, numbers, device=device)
        measured = Counter(labels)
        correct = Counter(label for label, answer in zip(labels, answers, strict=True) if label == answer)
        scores = _scores(run, labels, measured, correct, names=task.class_names)
    splits = [Counter(task.train.labels[index] for index in train), Counter(held_out.labels), Counter(task.test.labels)]
    rows = (
        ClassImages(
            name=name,
            train=splits[0][label],
            validation=splits[1][label],
            test=splits[2][label],
            num_measured=measured[label],
            num_correct=correct[label],
        )
        for label, name in enumerate(task.class_names)
    )
    return RunReport(classes=tuple(rows), validation=scores, learns_classes=learns_classes)


def _num_draws(run: TrainingRun) -> int:
    return NUM_DRAWS if run.recipe.objective.sigma else 1


def _answers(
    run: TrainingRun, checkpoint: Checkpoint, images: Subset, numbers: Sequence[int], *, device: torch.device
) -> list[int]:
    votes_NK = votes_under_noise(
        evaluated_backend(checkpoint, device=device).classify,
        EvaluationImages(images, checkpoint.spec.preprocessing),
        numbers,
        num_classes=checkpoint.spec.num_classes,
        sigma=run.recipe.objective.sigma or 0.0,
        batch_size=BATCH_SIZE,
        seed=derived_seed(run.seed, "validation-report"),
        num_draws=_num_draws(run),
        device=device,
        num_workers=run.recipe.num_workers or num_loader_workers(device, num_images=len(numbers)),
    )
    answers: list[int] = votes_NK.argmax(dim=1).tolist()
    return answers


def _scores(
    run: TrainingRun, labels: Sequence[int], measured: Counter[int], correct: Counter[int], *, names: Sequence[str]
) -> ValidationScores:
    corrects, totals = ([counts[label] for label in range(len(names))] for counts in (correct, measured))
    majority, baseline = majority_baseline(labels)
    interval = balanced_accuracy_interval(corrects, totals)
    return ValidationScores(
        sigma=run.recipe.objective.sigma or 0.0,
        num_draws=_num_draws(run),
        num_images=len(labels),
        accuracy=sum(corrects) / len(labels),
        accuracy_interval=binomial_interval(sum(corrects), len(labels)),
        mean_per_class=balanced_accuracy(corrects, totals),
        mean_per_class_interval=interval,
        majority_class=names[majority],
        majority_baseline=baseline,
        chance=1 / len(names),
        is_told_from_chance=is_told_from_chance(interval, num_classes=len(names)),
    )


def tables_of(report: RunReport) -> Iterator[tuple[str, Table]]:
    """The report as one or two tables with their titles; of many classes only those with the fewest training images."""
    shown, num = report.classes, len(report.classes)
    title = "images of each class"
    if num > MOST_LISTED:
        shown = tuple(sorted(shown, key=lambda row: row.train)[:NUM_LOWEST])
        title = f"images of the {NUM_LOWEST} classes with the fewest training images, of {num}"
    scores = report.validation
    columns = ("train", "validation", "test", *([] if scores is None else ["right on validation"]))
    table = Table("class", *columns, show_footer=True)
    for row in shown:
        right = [] if scores is None else [f"{row.num_correct} of {row.num_measured}"]
        table.add_row(escape(row.name), str(row.train), str(row.validation), str(row.test), *right)
    for column in table.columns[1:]:
        column.justify = "right"
    table.columns[0].footer = "all"
    totals = [sum(getattr(row, name) for row in report.classes) for name in ("train", "validation", "test")]
    for column, total in zip(table.columns[1:4], totals, strict=True):
        column.footer = str(total)
    yield title, table
    if scores is not None:
        yield _table_of_scores(scores)


def _table_of_scores(scores: ValidationScores) -> tuple[str, Table]:
    how = f"under noise of sigma {scores.sigma:g}, most frequent of {scores.num_draws} answers each"
    table = Table("", "value", "95 % interval")
    table.add_row("accuracy", percent(scores.accuracy), percents(scores.accuracy_interval))
    table.add_row("mean per class", percent(scores.mean_per_class), percents(scores.mean_per_class_interval))
    table.add_row(f"always answering {escape(scores.majority_class)}", percent(scores.majority_baseline), "")
    return f"{scores.num_images} validation images, {how if scores.sigma else 'clean'}", table
