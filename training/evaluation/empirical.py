"""Accuracy of a classifier on clean images, under Gaussian noise and under attack; one row per image."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import count
from statistics import fmean
from typing import Any, NamedTuple

import torch
from rich.console import Console
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, Subset

from training.distributed import SINGLE_PROCESS
from training.evaluation.attack_targets import AttackTarget, attack_target_for
from training.evaluation.empirical_log import EmpiricalLog, EmpiricalRow
from training.streams import normal_per_image, stream
from training.tasks import Task
from training.tasks.loader_workers import num_loader_workers
from training.tasks.loading import EvaluationImages, loaded_batches
from zoo.checkpoints.checkpoint import Checkpoint
from zoo.cli._progress import tracked
from zoo.loading.backend import chosen_precision, open_backend
from zoo.models.measurements import Attack, EmpiricalResult, NoiseAccuracy
from zoo.models.preprocessing import to_pixels
from zoo.models.spec import Preprocessing
from zoo.results.log import ABSTAIN
from zoo.results.selection import Selection
from zoo.results.summary import binomial_interval
from zoo.smoothing import BaseClassifier, TorchBackend
from zoo.smoothing.backends import Classes
from zoo.smoothing.precision import INT8


def evaluated_backend(
    checkpoint: Checkpoint, *, device: torch.device, precision: str | None = None, is_channels_last: bool = False
) -> BaseClassifier:
    """The base classifier whose accuracy an evaluation measures: PyTorch runs the network as an attack does.

    ONNX Runtime runs a quantized network, which no attack can be computed for.
    Raises: RequestError if the checkpoint or the device does not have the precision; CheckpointError if the checkpoint
    is damaged.
    """
    if checkpoint.spec.certified.precision is not None:
        return open_backend(checkpoint, device=device, precision=precision)
    chosen = chosen_precision(checkpoint, precision, backend="torch", device_type=device.type)
    assert chosen != INT8, "only a quantized network has it"
    num_classes = checkpoint.spec.num_classes
    return TorchBackend(
        checkpoint.load_network(),
        num_classes=num_classes,
        device=device,
        precision=chosen,
        is_channels_last=is_channels_last,
    )


CPU = torch.device("cpu")


class Batch(NamedTuple):
    """Images as uint8 `x_bytes_BCHW`, their classes `labels_B` and their numbers in the test set."""

    x_bytes_BCHW: Tensor
    labels_B: Tensor
    numbers: list[int]


BatchSource = Callable[[Attack | None, Iterable[Batch]], Iterator[list[EmpiricalRow]]]
"""Computes the rows of batches under an attack."""


def rows_of_batch(target: AttackTarget, batch: Batch, *, device: torch.device | str) -> list[EmpiricalRow]:
    """The rows of a batch, computed on the target's device."""
    x_BCHW = to_pixels(batch.x_bytes_BCHW).to(device)
    return target.rows(x_BCHW, batch.labels_B, torch.tensor(batch.numbers))


def evaluate_network(
    base: BaseClassifier,
    task: Task,
    preprocessing: Preprocessing,
    *,
    sigmas: Sequence[float],
    batch_size: int,
    seed: int,
    attack: Attack | None = None,
    selection: Selection | None = None,
    log: EmpiricalLog | None = None,
    console: Console | None = None,
    measure: BatchSource | None = None,
) -> EmpiricalResult:
    """Standard accuracy on the task's test set, accuracy at each noise level (the study's Table 2), and robust
    accuracy.

    Args:
        base: The base classifier; an attack needs one of `evaluated_backend`, in float32.
        task: The task with the test set.
        preprocessing: The preparation of the images.
        sigmas: Noise levels on the [0, 1] pixel scale.
        batch_size: Images per batch.
        seed: Seed of the noise.
        attack: The attack; None measures no robust accuracy.
        selection: The images to measure; None for all.
        log: Keeps the rows; rows that it already contains are not computed again.
        console: Output of the progress bar; None shows none.
        measure: Computes the rows of batches, in any order; None for this process. Noise is measured here.
    Raises: RequestError if the test set has fewer images than the sample, or the base classifier cannot be attacked;
    LogError if the log belongs to another run, is being written by another process or cannot be written;
    CertificationError if a logit is not finite.
    """
    images = EvaluationImages(task.test, preprocessing)
    selection = selection or Selection()
    indices = selection.of(task.test.labels)
    target = attack_target_for(base, attack, batch_size=batch_size)
    rows = measured_rows(
        target,
        images,
        indices,
        device=base.draws_on,
        log=log,
        console=console,
        measure=None if measure is None else partial(measure, attack),
    )

    def noise_accuracy(sigma: float) -> NoiseAccuracy:
        correct = num_correct_under_noise(
            base.classify,
            images,
            indices,
            num_classes=base.num_classes,
            sigma=sigma,
            batch_size=batch_size,
            seed=seed,
            device=base.draws_on,
            num_workers=num_loader_workers(base.draws_on, num_images=len(indices)),
        )
        accuracy, interval = correct / len(indices), binomial_interval(correct, len(indices))
        return NoiseAccuracy(sigma=sigma, accuracy=accuracy, interval=interval)

    return EmpiricalResult(
        classifier="base" if attack is None or attack.smoothed is None else "smoothed",
        task=task.name,
        split="test",
        skip=selection.skip,
        maximum=selection.maximum,
        sample=selection.sample,
        noise=tuple(noise_accuracy(sigma) for sigma in sigmas),
        backend=base.name,
        batch_size=batch_size,
        seed=seed,
        **_accuracies(rows),
        **({} if attack is None else _robust_accuracies(rows, attack)),
    )


def merge_results(
    recorded: EmpiricalResult | None, measured: EmpiricalResult, *, measure_base: Callable[[], EmpiricalResult]
) -> EmpiricalResult:
    """The result to record: the base classifier's result, which contains the result of an attack on the smoothed one.

    `measured` replaces the recorded result of the same classifier. If the base classifier has no recorded result,
    `measure_base` measures it.
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
    measure: Callable[[Iterable[Batch]], Iterator[list[EmpiricalRow]]] | None = None,
) -> list[EmpiricalRow]:
    """The rows of these images in order; rows that the log contains are read from it.

    The batches are the same for any content of the log. A resumed evaluation therefore has the batches, and the
    rounding, of an uninterrupted evaluation. `measure` computes them, in any order; None for this process.
    """
    console, size = console or Console(quiet=True), target.batch_size
    num_workers = 0 if measure else num_loader_workers(device, num_images=len(indices))  # no fork next to Ray
    batches = [list(indices[start : start + size]) for start in range(0, len(indices), size)]

    def batches_of(chosen: Sequence[list[int]]) -> Iterator[Batch]:
        loader = DataLoader(images, batch_sampler=chosen, num_workers=num_workers)
        for numbers, (x_bytes, labels_B) in zip(chosen, loaded_batches(loader), strict=True):
            yield Batch(x_bytes, labels_B, numbers)

    def rows_of(chosen: Sequence[list[int]]) -> Iterator[EmpiricalRow]:
        loaded = batches_of(chosen)
        rows = measure(loaded) if measure else (rows_of_batch(target, batch, device=device) for batch in loaded)
        for rows_of_one in tracked(rows, console, "measuring", total=len(chosen), unit="batches"):
            yield from rows_of_one

    if log is None:
        rows = {row.idx: row for row in rows_of(batches)}
        return [rows[index] for index in indices]
    with log.held(SINGLE_PROCESS):
        done = {row.idx for row in log.merge(indices, SINGLE_PROCESS)}
        with log.appending(SINGLE_PROCESS) as append:
            for row in rows_of([batch for batch in batches if not done.issuperset(batch)]):
                if row.idx not in done:
                    append(row)
        return log.merge(indices, SINGLE_PROCESS)


def mean_per_class(labels: Sequence[int], are_right: Sequence[bool]) -> float:
    """The mean over the classes in `labels` of the share of each class's images that are right."""
    by_class: dict[int, list[bool]] = {}
    for label, is_right in zip(labels, are_right, strict=True):
        by_class.setdefault(label, []).append(is_right)
    return fmean(fmean(flags) for flags in by_class.values())


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
    classify: Callable[[Tensor], Classes],
    images: EvaluationImages,
    numbers: Sequence[int],
    *,
    num_classes: int,
    sigma: float,
    batch_size: int,
    seed: int,
    device: torch.device = CPU,
    num_workers: int = 0,
) -> int:
    """The number of these images that are classified right under noise; the arguments are as in `votes_under_noise`."""
    votes_NK = votes_under_noise(
        classify,
        images,
        numbers,
        num_classes=num_classes,
        sigma=sigma,
        batch_size=batch_size,
        seed=seed,
        device=device,
        num_workers=num_workers,
    )
    labels_N = torch.tensor([images.images.labels[number] for number in numbers])
    return int((votes_NK.argmax(dim=1) == labels_N).sum())


def votes_under_noise(
    classify: Callable[[Tensor], Classes],
    images: EvaluationImages,
    numbers: Sequence[int],
    *,
    num_classes: int,
    sigma: float,
    batch_size: int,
    seed: int,
    num_draws: int = 1,
    device: torch.device = CPU,
    num_workers: int = 0,
) -> Tensor:
    """`votes_NK`: how many of `num_draws` noisy copies of each image get each class.

    The most frequent class is the answer of the smoothed classifier, estimated from so many draws. `seed`, the draw and
    the image's number key the noise.

    Args:
        classify: The base classifier: `x_BCHW` on `device` -> `classes_B`.
        images: The images, of which `numbers` are classified.
        numbers: The numbers of the images; at least one.
        num_classes: K.
        sigma: The noise level on the [0, 1] pixel scale.
        batch_size: Images per batch.
        seed: Seed of the noise.
        num_draws: Noisy copies per image.
        device: Draws the noise. CUDA's differs from a CPU's, as in `normal_per_image`.
        num_workers: Processes that load the images.
    """
    votes: list[Tensor] = []
    loader = DataLoader(Subset(images, numbers), batch_size=batch_size, num_workers=num_workers)
    for start, (x_bytes, _) in zip(count(step=batch_size), loaded_batches(loader), strict=False):
        x_BCHW = to_pixels(x_bytes).to(device)
        numbers_B = torch.tensor(numbers[start : start + batch_size])
        votes_BK = torch.zeros(len(x_BCHW), num_classes, dtype=torch.int64)
        for draw in range(num_draws):
            key = ("evaluation-noise", draw) if draw > 0 else ("evaluation-noise",)
            noise_BCHW = normal_per_image(x_BCHW, numbers_B, stream(seed, *key))
            classes_B = torch.from_numpy(classify(x_BCHW + sigma * noise_BCHW))
            votes_BK += functional.one_hot(classes_B, num_classes)
        votes.append(votes_BK)
    return torch.cat(votes)
