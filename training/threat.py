"""Threat models: the changes that an adversary may make to an image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from zoo.errors import RecipeError

Norm = Literal["l2", "linf"]
NORMS: tuple[Norm, ...] = ("l2", "linf")
MIN_L2_NORM = 1e-10
"""Lower bound of the divisor when a change is scaled to a norm, for changes of length zero."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreatModel:
    """Changes of at most `epsilon` in a norm, on the [0, 1] pixel scale, that leave every pixel in [0, 1].

    Projection is onto the ball, then onto the box (Madry et al. 2018, as in their library). The centre is in the box,
    so the second projection only shrinks a change, and the result is in both.
    """

    norm: Norm = "l2"
    epsilon: float = 0.5

    def __post_init__(self) -> None:
        if self.norm not in NORMS:
            raise RecipeError(f"norm must be l2 or linf, got {self.norm!r}")
        if not 0 <= self.epsilon < float("inf"):
            raise RecipeError(f"epsilon must be finite and at least 0, got {self.epsilon}")

    def project(self, x_BCHW: Tensor, center_BCHW: Tensor) -> Tensor:
        """`x_BCHW`, projected to the allowed changes of the images `center_BCHW`."""
        change_BCHW = x_BCHW - center_BCHW
        if self.norm == "linf":
            change_BCHW = change_BCHW.clamp(-self.epsilon, self.epsilon)
        else:
            change_BCHW = change_BCHW * (self.epsilon / l2_norm(change_BCHW).clamp(min=MIN_L2_NORM)).clamp(max=1.0)
        return (center_BCHW + change_BCHW).clamp(0.0, 1.0)

    def steepest(self, gradient_BCHW: Tensor) -> Tensor:
        """The unit-norm direction of steepest ascent for a loss with this gradient; zero where the gradient is zero."""
        if self.norm == "linf":
            return gradient_BCHW.sign()
        largest_B111 = gradient_BCHW.abs().amax(dim=(1, 2, 3), keepdim=True)
        scaled_BCHW = gradient_BCHW / largest_B111  # squares of a confident network's gradients underflow
        return torch.where(largest_B111 > 0, scaled_BCHW / l2_norm(scaled_BCHW), 0.0)


def l2_norm(x_BCHW: Tensor) -> Tensor:
    """`norm_B111`: the l2 norm of each image."""
    norm_B: Tensor = torch.linalg.vector_norm(x_BCHW.flatten(1), dim=1)
    return norm_B.view(-1, 1, 1, 1)
