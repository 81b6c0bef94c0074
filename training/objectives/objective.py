"""The interface between the trainer and a training method."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import Field, dataclass
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from training.attacks.target import Network
from training.streams import normal_per_image
from training.tasks.task import Augmentation
from zoo.errors import RecipeError


@dataclass(frozen=True, slots=True)
class Batch:
    """Images in [0, 1], their classes (int64) and their numbers in the training set, which key the noise.

    For a method with several views per image, view v of image b is row `v * B + b` of `x_BCHW`.
    """

    x_BCHW: Tensor
    labels_B: Tensor
    numbers_B: Tensor


@dataclass(frozen=True, slots=True)
class Progress:
    """Training progress in epochs; 2.5 is the middle of the third epoch."""

    epochs: float

    def warmup(self, over_epochs: float) -> float:
        """A weight that rises linearly from 0 to 1 over the first `over_epochs` epochs; always 1 if that is 0."""
        return 1.0 if over_epochs == 0 else min(1.0, self.epochs / over_epochs)


@dataclass(frozen=True, slots=True)
class ObjectiveOutput:
    """The scalar loss, a mean over the batch's images, and its parts for the log (detached)."""

    loss: Tensor
    metrics: Mapping[str, Tensor]


class Objective(Protocol):
    """A training method as a dataclass: its fields are the hyper-parameters, and calling it computes the loss.

    An objective has no optimizer, loader, device or log. `model` maps pixels in [0, 1] to logits and is in train mode.
    `generator` is on the CPU and equal on all processes that share a batch. Random draws are keyed by image
    (`training.streams`).
    """

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    learns_classes: ClassVar[bool] = True
    """Whether training fits the classes; otherwise the last layer of the checkpoint is untrained."""
    trains_denoiser: ClassVar[bool] = False
    """Whether training fits a denoiser before the classifier, which stays as it is."""
    num_views: ClassVar[int] = 1
    """The number of augmented views of each image in a batch."""
    augmentation: ClassVar[Augmentation | None] = None
    """The augmentation of the images; None selects the task's."""

    @property
    def sigma(self) -> float | None:
        """The noise level of training, on the [0, 1] pixel scale; None for a method without noise."""
        ...

    @property
    def learns_from_classifier(self) -> bool:
        """Whether the labels of a batch are the predictions of the classifier that stays as it is."""
        return False

    def head(self, num_features: int) -> nn.Module | None:
        """The head that replaces the network's last layer during training; None keeps the last layer.

        Random weights come from torch's global generator.
        """
        return None

    def __call__(
        self, model: Network, batch: Batch, *, progress: Progress, generator: torch.Generator
    ) -> ObjectiveOutput: ...


def gaussian_noise(batch: Batch, sigma: float, generator: torch.Generator) -> Tensor:
    """`N(0, sigma^2 I)` of the shape of the batch's images, keyed by image."""
    return normal_per_image(batch.x_BCHW, batch.numbers_B, generator).mul_(sigma)


def gaussian_copies(batch: Batch, sigma: float, m: int, generator: torch.Generator) -> Tensor:
    """`noise_MBCHW`: m independent draws of `N(0, sigma^2 I)` per image."""
    return torch.stack([gaussian_noise(batch, sigma, generator) for _ in range(m)])


def require_at_least(objective: Objective, **least: float) -> None:
    """Raises RecipeError unless each named hyper-parameter is finite and at least its bound."""
    for name, bound in least.items():
        value = getattr(objective, name)
        is_valid = math.isfinite(value) and value >= bound
        require(is_valid, f"objective.{name} must be at least {bound} and finite, got {value}")


def require_positive(objective: Objective, name: str) -> None:
    """Raises RecipeError unless the named hyper-parameter is finite and above 0."""
    value = getattr(objective, name)
    require(math.isfinite(value) and value > 0, f"objective.{name} must be positive and finite, got {value}")


def require(condition: bool, message: str) -> None:
    """Raises RecipeError unless the condition holds."""
    if not condition:
        raise RecipeError(message)
