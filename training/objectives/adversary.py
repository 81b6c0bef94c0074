"""The adversaries of adversarial training: PGD on the images, and adversarial weight perturbation.

Source of the weight perturbation: Wu, Xia and Wang 2020, section 3, algorithm 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.func import functional_call

from training.attacks import pgd
from training.attacks.pgd import LossOf
from training.attacks.target import Network, bare_network
from training.collectives import mean_over_ranks
from training.objectives.objective import Objective, Progress, require, require_at_least
from training.threat import NORMS, Norm, ThreatModel

GRADIENT_NORM_EPS = 1e-20
"""Added to the norm of a weight's gradient before a division by the norm; the value of the authors' code."""


def adversarial_weight_perturbation(model: Network, loss_of: Callable[[Network], Tensor], *, gamma: float) -> Network:
    """The network with every weight matrix and kernel moved by `gamma` times its own norm along the gradient of
    `loss_of`.

    Gradients at the moved weights reach the original weights unchanged. The function returns `model` itself if `gamma`
    is 0, `model` is not a module or no weight is trained. The published code takes one step with a copy of the network
    and scales the step to that norm, which gives the same direction. Over several processes the gradient is the mean of
    their gradients. Only the second pass updates running statistics.
    """
    if gamma == 0 or not isinstance(model, nn.Module):
        return model
    bare = bare_network(model)
    weights = {name: w for name, w in bare.named_parameters() if w.requires_grad and w.dim() > 1}
    if not weights:
        return model
    statistics = {name: buffer.clone() for name, buffer in bare.named_buffers()}
    loss = loss_of(lambda x_BCHW: functional_call(bare, statistics, (x_BCHW,)))
    gradients = mean_over_ranks(torch.autograd.grad(loss, tuple(weights.values()), materialize_grads=True))
    offsets = {
        id(w): gamma * w.detach().norm() / (gradient.norm() + GRADIENT_NORM_EPS) * gradient
        for w, gradient in zip(weights.values(), gradients, strict=True)
    }
    moved = {name: w + offsets[id(w)] for name, w in model.named_parameters() if id(w) in offsets}
    return lambda x_BCHW: functional_call(model, moved, (x_BCHW,))


@dataclass(frozen=True, slots=True, kw_only=True)
class AdversarialObjective(Objective):
    """A training method with an adversary: `num_steps` steps of `relative_step_size` * epsilon / num_steps within
    `epsilon`, on the [0, 1] pixel scale.

    Unlike in MadryLab's library, normalization does not clamp the input. `awp_gamma` above 0 adds adversarial weight
    perturbation after the first `awp_warmup_epochs` epochs (Wu et al. 2020).
    """

    sigma: ClassVar[None] = None

    norm: Norm = "l2"
    epsilon: float = 0.5
    num_steps: int = 3
    relative_step_size: float = 2.0
    awp_gamma: float = 0.0
    awp_warmup_epochs: float = 0.0

    def __post_init__(self) -> None:
        require(self.norm in NORMS, f"objective.norm must be l2 or linf, got {self.norm!r}")
        require_at_least(self, epsilon=0, num_steps=1, relative_step_size=0, awp_gamma=0, awp_warmup_epochs=0)

    def attack(
        self, loss_of: LossOf, x_BCHW: Tensor, *, start_BCHW: Tensor | None = None, keep_best: bool = False
    ) -> Tensor:
        """The adversarial images for `x_BCHW`; arguments as in `training.attacks.pgd`."""
        return pgd(
            loss_of,
            x_BCHW,
            threat=ThreatModel(norm=self.norm, epsilon=self.epsilon),
            num_steps=self.num_steps,
            step_size=self.relative_step_size * self.epsilon / self.num_steps,
            start_BCHW=start_BCHW,
            keep_best=keep_best,
        )

    def perturb_weights(self, model: Network, loss_of: Callable[[Network], Tensor], progress: Progress) -> Network:
        """The network at the weights for which the loss is computed: perturbed if the method perturbs weights."""
        is_warm = progress.epochs >= self.awp_warmup_epochs
        return adversarial_weight_perturbation(model, loss_of, gamma=self.awp_gamma if is_warm else 0.0)
