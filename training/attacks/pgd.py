"""Projected gradient ascent, known as PGD (Madry et al. 2018)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from training.threat import ThreatModel

LossOf = Callable[[Tensor], Tensor]
"""`x_BCHW -> loss_B`, the loss that the adversary maximizes. Each image's loss depends on that image alone."""


def pgd(
    loss_of: LossOf,
    x_BCHW: Tensor,
    *,
    threat: ThreatModel,
    num_steps: int,
    step_size: float,
    start_BCHW: Tensor | None = None,
    keep_best: bool = False,
) -> Tensor:
    """Adversarial images that the threat model allows for `x_BCHW`.

    An image with a zero gradient does not move.

    Args:
        loss_of: loss that the search maximizes.
        x_BCHW: images in [0, 1].
        threat: allowed changes of `x_BCHW`.
        num_steps: number of steps.
        step_size: length of a step in the threat model's norm, on the [0, 1] pixel scale.
        start_BCHW: start of the search; by default the images themselves.
        keep_best: return each image's iterate with the highest loss, including the start, for one more forward pass
            (the default of MadryLab's robustness library). Otherwise the last iterate is returned.
    """
    center_BCHW = x_BCHW.detach()
    current_BCHW = center_BCHW if start_BCHW is None else threat.project(start_BCHW.detach(), center_BCHW)
    best_BCHW, best_B = current_BCHW, torch.full((len(x_BCHW),), -torch.inf, device=x_BCHW.device, dtype=x_BCHW.dtype)
    for _ in range(num_steps):
        gradient_BCHW, loss_B = input_gradient(loss_of, current_BCHW)
        best_BCHW, best_B = _better(best_BCHW, best_B, current_BCHW, loss_B)
        step_BCHW = step_size * threat.steepest(gradient_BCHW)
        current_BCHW = threat.project(current_BCHW + step_BCHW, center_BCHW)
    if not keep_best:
        return current_BCHW
    with torch.no_grad():
        best_BCHW, _ = _better(best_BCHW, best_B, current_BCHW, loss_of(current_BCHW))
    return best_BCHW


def input_gradient(loss_of: LossOf, x_BCHW: Tensor) -> tuple[Tensor, Tensor]:
    """`(gradient_BCHW, loss_B)` of each image's loss with respect to that image."""
    with torch.enable_grad():
        leaf_BCHW = x_BCHW.detach().requires_grad_()
        loss_B = loss_of(leaf_BCHW)
        (gradient_BCHW,) = torch.autograd.grad(loss_B.sum(), leaf_BCHW)
    return gradient_BCHW, loss_B.detach()


def _better(best_BCHW: Tensor, best_B: Tensor, x_BCHW: Tensor, loss_B: Tensor) -> tuple[Tensor, Tensor]:
    is_better_B = loss_B > best_B
    return torch.where(is_better_B.view(-1, 1, 1, 1), x_BCHW, best_BCHW), torch.where(is_better_B, loss_B, best_B)
