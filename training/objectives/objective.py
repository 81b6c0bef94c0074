"""The contract between the trainer and a training method."""

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
    """Images in [0, 1], their classes (int64) and their numbers in the training set, by which noise is keyed.

    A method that asks for two views of an image finds view v of image b in row `v * B + b` of `x_BCHW`.
    """

    x_BCHW: Tensor
    labels_B: Tensor
    numbers_B: Tensor


@dataclass(frozen=True, slots=True)
class Progress:
    """How far training has come, in epochs; 2.5 is the middle of the third."""

    epochs: float

    def warmup(self, over_epochs: float) -> float:
        """A weight that rises linearly from 0 to 1 over that many epochs; always 1 for none."""
        return 1.0 if over_epochs == 0 else min(1.0, self.epochs / over_epochs)


@dataclass(frozen=True, slots=True)
class ObjectiveOutput:
    """The scalar to minimize, a mean over the batch's images, and its parts for the log (detached)."""

    loss: Tensor
    metrics: Mapping[str, Tensor]


class Objective(Protocol):
    """A training method, a dataclass: its hyper-parameters as fields, its loss as the call.

    It holds no optimizer, loader, device or log. `model` maps pixels in [0, 1] to logits and is in train mode.
    `generator` is on the CPU and equal on all processes that share a batch; what is drawn for an image is keyed by the
    image (`training.streams`).
    """

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    learns_classes: ClassVar[bool] = True
    """Whether the trained network answers classes; else its last layer is fresh in the checkpoint."""
    num_views: ClassVar[int] = 1
    """How many augmentations of each image a batch holds."""
    augmentation: ClassVar[Augmentation | None] = None
    """How images are augmented; None: as the task says."""

    @property
    def sigma(self) -> float | None:
        """The noise level the network is trained for, on the [0, 1] pixel scale; None if for none."""
        ...

    def head(self, num_features: int) -> nn.Module | None:
        """What stands in for the network's last layer during training (from torch's global generator); None:
        nothing."""
        return None

    def __call__(
        self, model: Network, batch: Batch, *, progress: Progress, generator: torch.Generator
    ) -> ObjectiveOutput: ...


def gaussian_noise(batch: Batch, sigma: float, generator: torch.Generator) -> Tensor:
    """`N(0, sigma^2 I)` of the shape of the batch's images, keyed by image."""
    return normal_per_image(batch.x_BCHW, batch.numbers_B, generator).mul_(sigma)


def gaussian_copies(batch: Batch, sigma: float, m: int, generator: torch.Generator) -> Tensor:
    """`noise_MBCHW`: m independent draws of `N(0, sigma^2 I)` for each image."""
    return torch.stack([gaussian_noise(batch, sigma, generator) for _ in range(m)])


def require_at_least(objective: Objective, **least: float) -> None:
    """Raises RecipeError unless each of these hyper-parameters is a finite number of at least its bound."""
    for name, bound in least.items():
        value = getattr(objective, name)
        is_sound = math.isfinite(value) and value >= bound
        require(is_sound, f"objective.{name} must be at least {bound} and finite, got {value}")


def require_positive(objective: Objective, name: str) -> None:
    """Raises RecipeError unless this hyper-parameter is finite and above 0."""
    value = getattr(objective, name)
    require(math.isfinite(value) and value > 0, f"objective.{name} must be positive and finite, got {value}")


def require(condition: bool, message: str) -> None:
    """Raises RecipeError unless the condition holds."""
    if not condition:
        raise RecipeError(message)
