"""Frozen layers of a starting point, and the layers whose batch normalization uses the batch's statistics."""

from __future__ import annotations

from typing import Literal, get_args

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

Freeze = Literal["none", "conv1", "layer1", "layer2", "layer3", "all-but-head"]
"""The last frozen stage: it and all stages before it keep the weights of the starting point."""

BatchStatistics = Literal["all-layers", "trained-layers", "no-layer"]
"""The layers whose batch normalization uses the batch's statistics and updates the running statistics.

The other layers use and keep the running statistics of the starting point, so a frozen layer computes the same function
during and after training. MadryLab's library does the equivalent of `all-layers`."""

HEAD = "fc"
_STAGES = {"conv1": ("conv1", "bn1"), "layer1": ("layer1",), "layer2": ("layer2",), "layer3": ("layer3",)}


def frozen_modules(backbone: nn.Module, freeze: Freeze) -> list[nn.Module]:
    """The top-level modules whose weights `freeze` keeps."""
    if freeze == "none":
        return []
    if freeze == "all-but-head":
        return [module for name, module in backbone.named_children() if name != HEAD]
    stages = get_args(Freeze)[1 : get_args(Freeze).index(freeze) + 1]
    return [backbone.get_submodule(name) for stage in stages for name in _STAGES[stage]]


def freeze_parameters(backbone: nn.Module, freeze: Freeze) -> None:
    """Turns off gradients for the parameters of the frozen layers."""
    for module in frozen_modules(backbone, freeze):
        module.requires_grad_(False)


def to_train_mode(model: nn.Module, backbone: nn.Module, freeze: Freeze, statistics: BatchStatistics) -> None:
    """Sets train mode, except for batch normalizations that keep their running statistics."""
    model.train()
    if statistics == "all-layers":
        return
    kept = [backbone] if statistics == "no-layer" else frozen_modules(backbone, freeze)
    for module in kept:
        for layer in module.modules():
            if isinstance(layer, _BatchNorm):
                layer.eval()
