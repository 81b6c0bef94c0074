"""Accuracy of the base classifier, clean and under Gaussian noise."""

from __future__ import annotations

from collections.abc import Sequence, Sized
from typing import cast

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from training.streams import stream
from training.tasks import Task
from training.tasks.loading import EvaluationImages
from zoo.preprocessing import to_pixels
from zoo.results.summary import binomial_interval
from zoo.smoothing.backends import evaluating
from zoo.spec import EmpiricalResult, NoiseAccuracy, Preprocessing


def evaluate_network(
    network: nn.Module,
    task: Task,
    preprocessing: Preprocessing,
    *,
    sigmas: Sequence[float],
    batch_size: int,
    seed: int,
) -> EmpiricalResult:
    """Standard accuracy on the task's test set, and accuracy at each noise level (the study's Table 2).

    The network computes where its parameters are. `sigmas` on the [0, 1] pixel scale.
    """
    images = EvaluationImages(task.test, preprocessing)
    device = next(network.parameters()).device

    def accuracy(sigma: float) -> float:
        return accuracy_under_noise(network, images, sigma=sigma, device=device, batch_size=batch_size, seed=seed)

    standard = accuracy(0.0)
    return EmpiricalResult(
        task=task.name,
        split="test",
        num_images=len(images),
        standard_accuracy=standard,
        standard_accuracy_interval=binomial_interval(round(standard * len(images)), len(images)),
        noise=tuple(NoiseAccuracy(sigma=sigma, accuracy=accuracy(sigma)) for sigma in sigmas),
        seed=seed,
    )


def accuracy_under_noise(
    network: nn.Module,
    images: Dataset[tuple[Tensor, int]],
    *,
    sigma: float,
    device: torch.device,
    batch_size: int,
    seed: int,
) -> float:
    """Share of the images that the base classifier gets right with one draw of `N(0, sigma^2 I)` added to each.

    `sigma` on the [0, 1] pixel scale; 0 is standard accuracy. The noise depends on the seed, not on the batch size.
    """
    generator = stream(seed, "evaluation-noise")
    correct = 0
    with evaluating(network), torch.inference_mode():
        for x_bytes, labels_B in DataLoader(images, batch_size=batch_size):
            x_BCHW = to_pixels(x_bytes)
            for x_CHW in x_BCHW:  # an image at a time: a batched draw depends on the batch's size
                x_CHW += torch.empty_like(x_CHW).normal_(generator=generator) * sigma
            predictions_B = network(x_BCHW.to(device)).argmax(dim=1).cpu()
            correct += int((predictions_B == labels_B).sum())
    return correct / len(cast(Sized, images))
