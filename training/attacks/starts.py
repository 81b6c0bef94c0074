"""Where a search begins that does not begin at the image."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from training.streams import normal_per_image
from training.threat import ThreatModel

SMALLEST = 1e-12


def random_start(
    center_BCHW: Tensor, threat: ThreatModel, *, generator: torch.Generator, numbers_B: Tensor | None
) -> Tensor:
    """Points of the sphere around the images, in the box: a Gaussian (l2) or uniform (linf) draw of norm epsilon."""
    if numbers_B is not None:
        drawn_BCHW = normal_per_image(center_BCHW, numbers_B, generator)
        if threat.norm == "linf":
            drawn_BCHW = torch.erf(drawn_BCHW / math.sqrt(2))  # its distribution function: uniform in [-1, 1]
    elif threat.norm == "linf":
        drawn_BCHW = 2 * torch.rand(center_BCHW.shape, generator=generator) - 1
    else:
        drawn_BCHW = torch.randn(center_BCHW.shape, generator=generator)
    drawn_BCHW = drawn_BCHW.to(center_BCHW)
    is_linf = threat.norm == "linf"
    length_B111 = drawn_BCHW.abs().amax(dim=(1, 2, 3), keepdim=True) if is_linf else plain_l2_norm(drawn_BCHW)
    return (center_BCHW + threat.epsilon * (drawn_BCHW / (length_B111 + SMALLEST))).clamp(0.0, 1.0)


def plain_l2_norm(x_BCHW: Tensor) -> Tensor:
    """`norm_B111` of each image, to the bit as AutoAttack's code computes it; squares may underflow."""
    return (x_BCHW**2).flatten(1).sum(dim=1).sqrt().view(-1, 1, 1, 1)
