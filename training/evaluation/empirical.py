"""Accuracy of the base classifier, clean and under Gaussian noise."""

from __future__ import annotations

from collections.abc import Iterator, Sized
from contextlib import contextmanager
from typing import cast

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from training.streams import stream
from zoo.preprocessing import to_pixels


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


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Eval mode inside, the former mode afterwards."""
    was_training = network.training
    network.eval()
    try:
        yield
    finally:
        network.train(was_training)
