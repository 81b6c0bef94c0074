"""Accuracy of the base classifier: clean, under Gaussian noise, and under attack."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader, Subset

from training.evaluation.attacks import num_robust
from training.streams import normal_per_image, stream
from training.tasks import Task
from training.tasks.loading import EvaluationImages
from zoo.preprocessing import to_pixels
from zoo.results.summary import binomial_interval
from zoo.smoothing.backends import evaluating
from zoo.spec import Attack, EmpiricalResult, NoiseAccuracy, Preprocessing


def evaluate_network(
    network: nn.Module,
    task: Task,
    preprocessing: Preprocessing,
    *,
    sigmas: Sequence[float],
    batch_size: int,
    seed: int,
    attack: Attack | None = None,
) -> EmpiricalResult:
    """Standard accuracy on the task's test set, accuracy at each noise level (the study's Table 2), and robust
    accuracy.

    The network computes where its parameters are. `sigmas` on the [0, 1] pixel scale.
    """
    images = EvaluationImages(task.test, preprocessing)
    device = next(network.parameters()).device

    def accuracy(sigma: float) -> float:
        return accuracy_under_noise(network, images, sigma=sigma, device=device, batch_size=batch_size, seed=seed)

    standard = accuracy(0.0)
    robust: dict[str, Any] = {}
    if attack is not None:
        count_robust = num_robust(network, images, attack, batch_size=batch_size)
        robust = {
            "attack": attack,
            "robust_accuracy": count_robust / len(images),
            "robust_accuracy_interval": binomial_interval(count_robust, len(images)),
        }
    return EmpiricalResult(
        task=task.name,
        split="test",
        num_images=len(images),
        standard_accuracy=standard,
        standard_accuracy_interval=binomial_interval(round(standard * len(images)), len(images)),
        noise=tuple(NoiseAccuracy(sigma=sigma, accuracy=accuracy(sigma)) for sigma in sigmas),
        seed=seed,
        **robust,
    )


def accuracy_under_noise(
    network: nn.Module, images: EvaluationImages, *, sigma: float, device: torch.device, batch_size: int, seed: int
) -> float:
    """Share of the images that the base classifier gets right with one draw of `N(0, sigma^2 I)` added to each.

    `sigma` on the [0, 1] pixel scale; 0 is standard accuracy.
    """
    correct = num_correct_under_noise(
        network, images, range(len(images)), sigma=sigma, device=device, batch_size=batch_size, seed=seed
    )
    return correct / len(images)


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
