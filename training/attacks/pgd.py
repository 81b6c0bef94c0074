"""Projected gradient ascent (Madry et al. 2018)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from training.threat import ThreatModel

LossOf = Callable[[Tensor], Tensor]
"""`x_BCHW -> loss_B`, what the adversary raises. Each image's loss depends on that image alone."""


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
    """Adversarial images that the threat model allows for `x_BCHW`, after `num_steps` steps of length `step_size`.

    The search begins at `start_BCHW`, by default at the images themselves. With `keep_best` the answer is, image by
    image, the iterate with the highest loss, the start among them, at the price of one more forward pass (the default
    of MadryLab's robustness library); else it is the last one. Where the gradient is zero an image stays where it is.
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
