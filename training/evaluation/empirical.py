"""Accuracy of a classifier, an image a row: clean, under Gaussian noise, and under attack."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import count
from statistics import fmean
from typing import Any

import torch
from rich.console import Console
from rich.progress import track
from torch import nn
from torch.utils.data import DataLoader, Subset

from training.distributed import SINGLE_PROCESS
from training.evaluation.attack_targets import AttackTarget, attack_target_for
from training.evaluation.certification import select_indices
from training.evaluation.empirical_log import EmpiricalLog, EmpiricalRow, backend_name
from training.streams import normal_per_image, stream
from training.tasks import Task
from training.tasks.loading import EvaluationImages
from zoo.models.measurements import Attack, EmpiricalResult, NoiseAccuracy
from zoo.models.preprocessing import to_pixels
from zoo.models.spec import Preprocessing
from zoo.results.log import ABSTAIN
from zoo.results.summary import binomial_interval
from zoo.smoothing.backends import evaluating


def evaluate_network(
    network: nn.Module,
    task: Task,
    preprocessing: Preprocessing,
    *,
    sigmas: Sequence[float],
    batch_size: int,
    seed: int,
    attack: Attack | None = None,
    skip: int = 1,
    maximum: int | None = None,
    log: EmpiricalLog | None = None,
    console: Console | None = None,
) -> EmpiricalResult:
    """Standard accuracy on the task's test set, accuracy at each noise level (the study's Table 2), and robust
    accuracy.

    The network computes where its parameters are. `sigmas` on the [0, 1] pixel scale. With a log the rows are kept in
    it, and those that it holds are not computed again. Progress of an attack goes to the console, if there is one.
    Raises: LogError if the log belongs to another run, is being written by another process or cannot be written.
    """
    images = EvaluationImages(task.test, preprocessing)
    indices = select_indices(len(images), skip=skip, maximum=maximum)
    target = attack_target_for(network, attack, num_classes=task.num_classes, batch_size=batch_size)
    device = next(network.parameters()).device
    rows = measured_rows(target, images, indices, device=device, log=log, console=console)

    def noise_accuracy(sigma: float) -> NoiseAccuracy:
        correct = num_correct_under_noise(
            network, images, indices, sigma=sigma, device=device, batch_size=batch_size, seed=seed
        )
        accuracy, interval = correct / len(indices), binomial_interval(correct, len(indices))
        return NoiseAccuracy(sigma=sigma, accuracy=accuracy, interval=interval)

    return EmpiricalResult(
        classifier="base" if attack is None or attack.smoothed is None else "smoothed",
        task=task.name,
        split="test",
        skip=skip,
        maximum=maximum,
        noise=tuple(noise_accuracy(sigma) for sigma in sigmas),
        backend=backend_name(device.type),
        batch_size=batch_size,
        seed=seed,
        **_accuracies(rows),
        **({} if attack is None else _robust_accuracies(rows, attack)),
    )


def merge_results(
    recorded: EmpiricalResult | None, measured: EmpiricalResult, *, measure_base: Callable[[], EmpiricalResult]
) -> EmpiricalResult:
    """What a checkpoint is to keep: the base classifier's result, and in it that of an attack on the smoothed one.

    What was measured replaces what was recorded of its kind. The base classifier is measured where it never was.
    """
    if measured.classifier == "base":
        return measured.model_copy(update={"smoothed": None if recorded is None else recorded.smoothed})
    return (recorded or measure_base()).model_copy(update={"smoothed": measured})


def measured_rows(
    target: AttackTarget,
    images: EvaluationImages,
    indices: Sequence[int],
    *,
    device: torch.device,
    log: EmpiricalLog | None = None,
    console: Console | None = None,
) -> list[EmpiricalRow]:
    """The rows of these images, in order, a batch at a time; those that the log holds are read from it.

    Batches are cut from all of `indices`, whatever the log holds: a resumed evaluation meets the very batches of one
    that was never interrupted, and the same rounding.
    """
    console, size = console or Console(quiet=True), target.batch_size
    batches = [list(indices[start : start + size]) for start in range(0, len(indices), size)]

    def rows_of(chosen: Sequence[list[int]]) -> Iterator[EmpiricalRow]:
        loader = DataLoader(images, batch_sampler=chosen)
        pairs = zip(chosen, loader, strict=True)
        for numbers, (x_bytes, labels_B) in track(pairs, "measuring", total=len(chosen), console=console):
            yield from target.rows(to_pixels(x_bytes).to(device), labels_B, torch.tensor(numbers))

    if log is None:
        return list(rows_of(batches))
    with log.held(SINGLE_PROCESS):
        done = {row.idx for row in log.merge(indices, SINGLE_PROCESS)}
        with log.appending(SINGLE_PROCESS) as append:
            for row in rows_of([batch for batch in batches if not done.issuperset(batch)]):
                if row.idx not in done:
                    append(row)
        return log.merge(indices, SINGLE_PROCESS)


def mean_per_class(labels: Sequence[int], are_right: Sequence[bool]) -> float:
    """The mean, over the classes that `labels` holds, of the share of each class's images that are right."""
    found: dict[int, list[bool]] = {}
    for label, is_right in zip(labels, are_right, strict=True):
        found.setdefault(label, []).append(is_right)
    return fmean(fmean(flags) for flags in found.values())


def _accuracies(rows: Sequence[EmpiricalRow]) -> dict[str, Any]:
    correct = [row.clean_correct for row in rows]
    return {
        "num_images": len(rows),
        "standard_accuracy": sum(correct) / len(rows),
        "standard_accuracy_interval": binomial_interval(sum(correct), len(rows)),
        "mean_per_class_accuracy": mean_per_class([row.label for row in rows], correct),
    }


def _robust_accuracies(rows: Sequence[EmpiricalRow], attack: Attack) -> dict[str, Any]:
    robust = [bool(row.robust) for row in rows]
    abstained = sum(row.attacked_predict == ABSTAIN for row in rows)
    return {
        "attack": attack,
        "robust_accuracy": sum(robust) / len(rows),
        "robust_accuracy_interval": binomial_interval(sum(robust), len(rows)),
        "mean_per_class_robust_accuracy": mean_per_class([row.label for row in rows], robust),
        "attacked_abstention_rate": None if attack.smoothed is None else abstained / len(rows),
    }


def num_correct_under_noise(
    network: nn.Module,
    images: EvaluationImages,
    numbers: Sequence[int],
    *,
    sigma: float,
    device: torch.device,
    batch_size: int,
    seed: int,
) -> int:
    """How many of the images with these numbers are classified right; an image's noise depends on seed and number."""
    dtype = next(network.parameters()).dtype
    correct = 0
    with evaluating(network), torch.inference_mode():
        loader = DataLoader(Subset(images, numbers), batch_size=batch_size)
        for start, (x_bytes, labels_B) in zip(count(step=batch_size), loader, strict=False):
            x_BCHW = to_pixels(x_bytes)
            numbers_B = torch.tensor(numbers[start : start + batch_size])
            noise_BCHW = normal_per_image(x_BCHW, numbers_B, stream(seed, "evaluation-noise"))
            predictions_B = network((x_BCHW + sigma * noise_BCHW).to(device, dtype)).argmax(dim=1).cpu()
            correct += int((predictions_B == labels_B).sum())
    return correct
