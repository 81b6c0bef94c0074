"""Images that a threat model allows to the last digit."""

from __future__ import annotations

import torch
from torch import Tensor

from training.threat import ThreatModel

SMALLEST_SHRINKING = 2.0**-23
"""An ulp of float32; doubled until the image is inside, it ends at 1, where nothing of the change is left."""
ORDER_OF_SUMS = 1 - 2.0**-40
"""Whoever measures again may sum in another order."""


def strictly_inside(x_BCHW: Tensor, center_BCHW: Tensor, threat: ThreatModel) -> Tensor:
    """The images, those of them shrunk towards their centre whose change, measured in float64, is above epsilon.

    Both are in the box. Projection and the rounding of pixels leave a change an ulp or two too long; what is reported
    as found within epsilon should be.
    """
    center, change = center_BCHW.double(), x_BCHW.double() - center_BCHW.double()
    answer_BCHW, shrinking, allowed = x_BCHW, SMALLEST_SHRINKING, threat.epsilon * ORDER_OF_SUMS
    while bool((is_outside_B := distances(answer_BCHW, center_BCHW, threat) > allowed).any()):
        length_B = distances(x_BCHW, center_BCHW, threat).clamp(min=threat.epsilon)
        kept_B111 = (1 - min(shrinking, 1.0)) * (threat.epsilon / length_B).view(-1, 1, 1, 1)
        shrunk_BCHW = (center + kept_B111 * change).to(x_BCHW.dtype)
        answer_BCHW = torch.where(is_outside_B.view(-1, 1, 1, 1), shrunk_BCHW, answer_BCHW)
        shrinking *= 2
    return answer_BCHW


def distances(x_BCHW: Tensor, center_BCHW: Tensor, threat: ThreatModel) -> Tensor:
    """`distance_B` of each image from its centre in the threat model's norm, in float64 on the [0, 1] pixel scale."""
    change_BD = (x_BCHW.double() - center_BCHW.double()).flatten(1)
    order = 2 if threat.norm == "l2" else torch.inf
    distance_B: Tensor = torch.linalg.vector_norm(change_BD, ord=order, dim=1)
    return distance_B
