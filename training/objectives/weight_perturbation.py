"""Adversarial weight perturbation (Wu, Xia and Wang 2020, section 3, algorithm 1)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import functional_call

from training.attacks.target import Network, bare_network
from training.exchange import mean_over_ranks

SMALLEST_NORM = 1e-20


def perturbed(model: Network, loss_of: Callable[[Network], Tensor], *, gamma: float) -> Network:
    """The network with every weight matrix and kernel moved by `gamma` times its own norm along the gradient of
    `loss_of`; gradients reach the weights as if they stood there. The network itself for gamma 0, or if it is no
    module.

    The published code takes one step of a copy of the network and scales it to that norm: the same direction. Over
    several processes the gradient is their mean. Running statistics see the second pass only.
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
        id(w): gamma * w.detach().norm() / (gradient.norm() + SMALLEST_NORM) * gradient
        for w, gradient in zip(weights.values(), gradients, strict=True)
    }
    moved = {name: w + offsets[id(w)] for name, w in model.named_parameters() if id(w) in offsets}
    return lambda x_BCHW: functional_call(model, moved, (x_BCHW,))
