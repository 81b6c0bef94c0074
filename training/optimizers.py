"""Stochastic gradient descent, and the layer-wise rates with which large batches need it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, overload

import torch
from torch import Tensor, nn

from training.recipe import Sgd

SMALLEST_NORM = 1e-8


def optimizer_for(parameters: Iterable[nn.Parameter], settings: Sgd) -> torch.optim.Optimizer:
    """The optimizer that a recipe describes, of the parameters that are trained."""
    trained = [parameter for parameter in parameters if parameter.requires_grad]
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
    """Layer-wise adaptive rates (You, Gitman and Ginsburg 2017, algorithm 1, as SimCLR uses it).

    A weight matrix or kernel w with gradient g moves as under SGD with momentum along u = g + weight_decay * w, scaled
    by trust_coefficient * |w| / |u| where both norms are positive. Biases and the parameters of batch normalization
    take plain SGD without weight decay, as in SimCLR's published code.
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
        """One step along the gradients that are there."""
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
        update = parameter.grad
        if parameter.dim() > 1:
            update = update + group["weight_decay"] * parameter
            weight_norm, update_norm = parameter.norm(), update.norm()
            rate = group["trust_coefficient"] * weight_norm / (update_norm + SMALLEST_NORM)
            update = update * torch.where((weight_norm > 0) & (update_norm > 0), rate, torch.ones_like(rate))
        state = self.state[parameter]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(parameter)
        state["momentum_buffer"].mul_(group["momentum"]).add_(update)
        parameter.add_(state["momentum_buffer"], alpha=-group["lr"])
