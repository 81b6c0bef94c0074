"""Calibrates the label sets of a checkpoint on some test images, and measures the sets on the others."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from rich.console import Console

from training.streams import derived_seed, stream
from training.tasks import Task
from zoo.checkpoints.checkpoint import Checkpoint
from zoo.cli._progress import tracked
from zoo.errors import CertificationError, RequestError
from zoo.host.untrusted_json import parse_json
from zoo.models.layout import SPLIT
from zoo.models.preprocessing import prepare
from zoo.results.calibration import Calibration, MeasuredSets
from zoo.smoothing import BaseClassifier, Noise, NoiseKey, NoisySampler, SamplingOptions
from zoo.smoothing.conformal import calibrated_threshold, require_enough_images
from zoo.smoothing.jobs import checked_pixels
from zoo.smoothing.label_set import SCORE, Scores, label_scores, labels_within, one_draw


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationPlan:
    """The guarantee to calibrate for, and the calibration images: indices of test images, in ascending order."""

    checkpoint: Checkpoint
    task: Task
    radius: float
    alpha: float
    sigma: float
    noise: Noise
    seed: int
    images: tuple[int, ...]

    @property
    def others(self) -> list[int]:
        """The other test images, on which the sets are measured."""
        calibrating = set(self.images)
        return [index for index in range(len(self.task.test)) if index not in calibrating]


def plan_calibration(
    checkpoint: Checkpoint,
    task: Task,
    *,
    radius: float,
    alpha: float,
    noise: Noise,
    num_images: int | None,
    seed: int,
) -> CalibrationPlan:
    """The plan to calibrate on random test images.

    The test images calibrate, because neither the weights nor the choice of the model depend on them.

    Args:
        checkpoint: The checkpoint; its sigma is that of the noise.
        task: The task of the images.
        radius: Largest l2 norm of a change, on the [0, 1] pixel scale.
        alpha: Probability that a set lacks the true class.
        noise: "gaussian" or "discrete".
        num_images: Number of calibration images; None for half of the test images.
        seed: Root of the choice of the images and of the noise.

    Raises: CertificationError if the checkpoint has no sigma, or too few images are chosen for the guarantee;
    RequestError if no test image is left to measure on, or the checkpoint was trained on another split of the task.
    """
    sigma = checkpoint.spec.certified.sigma
    if sigma is None:
        raise CertificationError(f"{checkpoint.spec.name} has no sigma because it was not trained under noise")
    _require_same_split(checkpoint, task)
    num_test = len(task.test)
    chosen = num_test // 2 if num_images is None else num_images
    require_enough_images(chosen, alpha=alpha, radius=radius, sigma=sigma)
    if chosen >= num_test:
        raise RequestError(
            f"--images {chosen} leaves none of the {num_test} test images of {task.name} to measure the sets on"
        )
    order = torch.randperm(num_test, generator=stream(seed, "calibration-images"))
    return CalibrationPlan(
        checkpoint=checkpoint,
        task=task,
        radius=radius,
        alpha=alpha,
        sigma=sigma,
        noise=noise,
        seed=seed,
        images=tuple(sorted(order[:chosen].tolist())),
    )


def calibrate(
    plan: CalibrationPlan, base: BaseClassifier, *, options: SamplingOptions, console: Console
) -> Calibration:
    """The calibration of a plan, with progress on `console`. Each image gets one draw.

    Raises: CertificationError if a logit is not finite, or the backend returns classes only.
    """
    sampler, labels = NoisySampler(base, options), plan.task.test.labels

    def scored(indices: Sequence[int], activity: str) -> Iterator[tuple[int, Scores]]:
        scores = _scores(plan, sampler, indices)
        yield from zip(indices, tracked(scores, console, activity, total=len(indices)), strict=True)

    scores = tuple(float(scores_K[labels[index]]) for index, scores_K in scored(plan.images, "calibrating"))
    threshold = calibrated_threshold(scores, alpha=plan.alpha, radius=plan.radius, sigma=plan.sigma)
    sets = [(labels_within(scores_K, threshold), labels[index]) for index, scores_K in scored(plan.others, "measuring")]
    spec = plan.checkpoint.spec
    return Calibration(
        weights_sha256=plan.checkpoint.weights_sha256,
        preprocessing=spec.preprocessing,
        task=plan.task.name,
        data=plan.task.digest,
        radius=plan.radius,
        alpha=plan.alpha,
        sigma=plan.sigma,
        noise=plan.noise,
        score=SCORE,
        threshold=threshold,
        backend=base.name,
        batch_size=options.batch_size if base.depends_on_batch_shape else None,
        seed=plan.seed,
        images=plan.images,
        scores=scores,
        measured=_measured(sets, num_classes=spec.num_classes),
    )


def _scores(plan: CalibrationPlan, sampler: NoisySampler, indices: Sequence[int]) -> Iterator[Scores]:
    """Yields `scores_K` of each image, from one draw."""
    root, size = derived_seed(plan.seed, "calibration-noise"), sampler.options.batch_size
    preprocessing = plan.checkpoint.spec.preprocessing
    for start in range(0, len(indices), size):
        draws = []
        for index in indices[start : start + size]:
            x_CHW = checked_pixels(prepare(plan.task.test[index], preprocessing), noise=plan.noise)
            key = NoiseKey(root=root, job=index)
            draws.append(one_draw(x_CHW, sigma=plan.sigma, noise=plan.noise, key=key))
        for logits_MK in sampler.votes(draws):
            yield label_scores(logits_MK)[0]


def _measured(sets: Sequence[tuple[Sequence[int], int]], *, num_classes: int) -> MeasuredSets:
    """The measurement of pairs of a set and the true class."""
    sizes = [len(labels) for labels, _ in sets]
    return MeasuredSets(
        num_covered=sum(label in labels for labels, label in sets),
        size_counts=tuple(sizes.count(size) for size in range(num_classes + 1)),
    )


def _require_same_split(checkpoint: Checkpoint, task: Task) -> None:
    """Raises RequestError if the checkpoint was trained on another split of the task.

    Its training images may then be test images now.
    """
    if checkpoint.spec.certified.task != task.name or SPLIT not in checkpoint.files:
        return
    recorded = parse_json((checkpoint.path / SPLIT).read_bytes())["task"]
    current = json.loads(json.dumps(dict(task.split)))
    if {name: value for name, value in recorded.items() if name != "limit_per_class"} != current:
        raise RequestError(
            f"{checkpoint.path} was trained on another split of {task.name}, so the test images may be training "
            "images: restore the data that it was trained on"
        )
