"""The floating-point precision of training; `float32` is float32, without TF32."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from zoo.errors import RecipeError
from zoo.smoothing.backends import arithmetic

Precision = Literal["auto", "float32", "tf32", "bfloat16", "float64"]


class MixedPrecision(nn.Module):
    """A network that computes in bfloat16 where that is safe and returns float32 logits; losses are computed outside.

    `network` is the same network in full precision. Attacks use it, since rounding would spoil their gradients.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x_BCHW: Tensor) -> Tensor:
        with arithmetic("bfloat16", x_BCHW.device.type):
            logits_BK: Tensor = self.network(x_BCHW)
        return logits_BK.float()


def resolve_precision(precision: Precision, device: torch.device) -> Precision:
    """The precision to use on a device; `auto` is bfloat16 on a GPU that supports it, else float32.

    Raises: RecipeError if the device does not have the precision.
    """
    if precision == "tf32" and device.type != "cuda":
        raise RecipeError(f"precision=tf32 needs a CUDA device, and this run trains on {device.type}")
    if precision != "auto":
        return precision
    return "bfloat16" if device.type == "cuda" and torch.cuda.is_bf16_supported() else "float32"
