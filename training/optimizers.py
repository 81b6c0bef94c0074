"""Stochastic gradient descent, LARS, its variant with layer-wise rates for large batches, and Adam."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, overload

import torch
from torch import Tensor, nn

from training.recipe import Adam, Sgd


def optimizer_for(parameters: Iterable[nn.Parameter], settings: Sgd | Adam) -> torch.optim.Optimizer:
    """The optimizer that a recipe describes, for those parameters that require gradients."""
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    if isinstance(settings, Adam):
        return torch.optim.Adam(
            trained, lr=settings.lr, betas=(settings.beta1, settings.beta2), weight_decay=settings.weight_decay
        )
    if settings.trust_coefficient is None:
        return torch.optim.SGD(
            trained,
            lr=settings.lr,
            momentum=settings.momentum,
            weight_decay=settings.weight_decay,
            nesterov=settings.nesterov,
        )
    return Lars(
        trained,
        lr=settings.lr,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
        trust_coefficient=settings.trust_coefficient,
    )


class Lars(torch.optim.Optimizer):
    """Layer-wise adaptive rates (You, Gitman and Ginsburg 2017, algorithm 1), with SimCLR's choices.

    A weight matrix or kernel w with gradient g moves along u = g + weight_decay * w. Its velocity v becomes
    momentum * v + lr * local_rate * u, and w becomes w - v. As in algorithm 1 the velocity includes the rates of its
    past steps, so a change of `lr` affects only later gradients.

    The local rate is trust_coefficient * |w| / |u|, or 1 if a norm is 0, as in SimCLR's published code
    (google-research/simclr, lars_optimizer.py with `classic_momentum`). Algorithm 1 divides by
    |g| + weight_decay * |w| instead, which is equal without weight decay. As in SimCLR's code, biases and the
    parameters of batch normalization have local rate 1 and no weight decay.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        *,
        lr: float,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        trust_coefficient: float = 0.001,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "trust_coefficient": trust_coefficient,
        }
        super().__init__(parameters, defaults)

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Makes one step for the parameters that have gradients; the loss of `closure` if one is given."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._move(parameter, group)
        return loss

    def _move(self, parameter: Tensor, group: dict[str, Any]) -> None:
        assert parameter.grad is not None
        update, rate = parameter.grad, torch.ones((), device=parameter.device, dtype=parameter.dtype)
        if parameter.dim() > 1:
            update = update + group["weight_decay"] * parameter
            weight_norm, update_norm = parameter.norm(), update.norm()
            local_rate = group["trust_coefficient"] * weight_norm / update_norm
            rate = torch.where((weight_norm > 0) & (update_norm > 0), local_rate, rate)
        state = self.state[parameter]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(parameter)
        parameter.sub_(state["momentum_buffer"].mul_(group["momentum"]).add_(group["lr"] * rate * update))
