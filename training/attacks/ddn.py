"""Decoupled direction and norm (DDN, Rony et al. 2019), limited to a maximum norm as in Salman et al. 2019."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from training.threat import MIN_L2_NORM, ThreatModel, l2_norm

SMALLEST_RATE = 0.01
HIGHEST_LEVEL = 255


def ddn(
    judge: Callable[[Tensor], tuple[Tensor, Tensor]],
    x_BCHW: Tensor,
    *,
    max_norm: float,
    num_steps: int,
    gamma: float = 0.05,
) -> Tensor:
    """The adversarial images with the smallest change that the search met, projected to an l2 norm of `max_norm`.

    An image for which the search met no adversarial image is unchanged. The search follows directions with a rate that
    falls from 1 to 0.01 along a cosine. Each image's norm starts at `max_norm`; it is multiplied by 1 - `gamma` while
    the network is fooled, and otherwise by 1 + `gamma`. Intermediate images are rounded to 8 bits.

    Args:
        judge: function from images to `(loss_B, is_fooled_B)`; the adversary maximizes the loss.
        x_BCHW: images in [0, 1].
        max_norm: largest l2 norm of a change, on the [0, 1] pixel scale.
        num_steps: number of steps.
        gamma: relative change of the norm per step.
    """
    center_BCHW = x_BCHW.detach()
    norm_B111 = torch.full_like(l2_norm(center_BCHW), max_norm)
    farthest_B111 = l2_norm(torch.maximum(center_BCHW, 1 - center_BCHW))
    change_BCHW = best_BCHW = torch.zeros_like(center_BCHW)
    best_B111 = farthest_B111
    for step in range(num_steps):
        gradient_BCHW, is_fooled_B111 = _evaluated(judge, center_BCHW + change_BCHW)
        is_best_B111 = is_fooled_B111 & (l2_norm(change_BCHW) < best_B111)
        best_BCHW = torch.where(is_best_B111, change_BCHW, best_BCHW)
        best_B111 = torch.where(is_best_B111, l2_norm(change_BCHW), best_B111)

        rate = SMALLEST_RATE + (1 - SMALLEST_RATE) / 2 * (1 + math.cos(math.pi * (step + 1) / num_steps))
        change_BCHW = change_BCHW + rate * ThreatModel().steepest(gradient_BCHW)
        norm_B111 = torch.where(is_fooled_B111, norm_B111 * (1 - gamma), norm_B111 * (1 + gamma))
        norm_B111 = torch.minimum(norm_B111, farthest_B111)
        change_BCHW = change_BCHW * (norm_B111 / l2_norm(change_BCHW).clamp(min=MIN_L2_NORM))
        rounded_BCHW = ((center_BCHW + change_BCHW) * HIGHEST_LEVEL).round() / HIGHEST_LEVEL
        change_BCHW = rounded_BCHW.clamp(0.0, 1.0) - center_BCHW
    return ThreatModel(epsilon=max_norm).project(center_BCHW + best_BCHW, center_BCHW)


def _evaluated(judge: Callable[[Tensor], tuple[Tensor, Tensor]], x_BCHW: Tensor) -> tuple[Tensor, Tensor]:
    with torch.enable_grad():
        leaf_BCHW = x_BCHW.detach().requires_grad_()
        loss_B, is_fooled_B = judge(leaf_BCHW)
        (gradient_BCHW,) = torch.autograd.grad(loss_B.sum(), leaf_BCHW)
    return gradient_BCHW, is_fooled_B.view(-1, 1, 1, 1)
