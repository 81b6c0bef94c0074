"""The contract between the trainer and a training method."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from zoo.errors import RecipeError

Network = Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Batch:
    """Clean images in [0, 1] and their classes (int64)."""

    x_BCHW: Tensor
    labels_B: Tensor


@dataclass(frozen=True, slots=True)
class Progress:
    """How far training has come, in epochs; 2.5 is the middle of the third."""

    epochs: float


@dataclass(frozen=True, slots=True)
class ObjectiveOutput:
    """The scalar to minimize, and its parts for the log (detached)."""

    loss: Tensor
    metrics: Mapping[str, Tensor]


class Objective(Protocol):
    """A training method, a dataclass: its hyper-parameters as fields, its loss as the call.

    It holds no optimizer, loader, device or log. `model` maps pixels in [0, 1] to logits and is in train mode.
    """

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @property
    def sigma(self) -> float | None:
        """The noise level the network is trained for, on the [0, 1] pixel scale; None if for none."""
        ...

    def __call__(
        self, model: Network, batch: Batch, *, progress: Progress, generator: torch.Generator
    ) -> ObjectiveOutput: ...


def gaussian_noise(like_BCHW: Tensor, sigma: float, generator: torch.Generator) -> Tensor:
    """`N(0, sigma^2 I)` of the shape and device of `like_BCHW`."""
    noise = torch.empty_like(like_BCHW)
    return noise.normal_(0.0, 1.0, generator=generator).mul_(sigma)


def require(condition: bool, message: str) -> None:
    """Raises RecipeError unless the condition holds: how a method refuses a hyper-parameter."""
    if not condition:
        raise RecipeError(message)
