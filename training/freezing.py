"""Which layers of a starting point are trained, and where batch normalization still looks at the batch."""

from __future__ import annotations

from typing import Literal, get_args

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

Freeze = Literal["none", "conv1", "layer1", "layer2", "layer3", "all-but-head"]
"""Everything up to and including that stage keeps the weights of the starting point."""

BatchStatistics = Literal["all-layers", "trained-layers", "no-layer"]
"""Where batch normalization uses the batch's statistics and updates its running ones. Elsewhere both are those of the
starting point: a frozen layer is then the same function in training and afterwards. (`all-layers` is what MadryLab's
library does.)"""

HEAD = "fc"
_STAGES = {"conv1": ("conv1", "bn1"), "layer1": ("layer1",), "layer2": ("layer2",), "layer3": ("layer3",)}


def frozen_modules(backbone: nn.Module, freeze: Freeze) -> list[nn.Module]:
    """The top-level modules that `freeze` keeps as they are."""
    if freeze == "none":
        return []
    if freeze == "all-but-head":
        return [module for name, module in backbone.named_children() if name != HEAD]
    stages = get_args(Freeze)[1 : get_args(Freeze).index(freeze) + 1]
    return [backbone.get_submodule(name) for stage in stages for name in _STAGES[stage]]


def freeze_parameters(backbone: nn.Module, freeze: Freeze) -> None:
    """Takes the frozen layers' parameters out of training."""
    for module in frozen_modules(backbone, freeze):
        module.requires_grad_(False)


def to_train_mode(model: nn.Module, backbone: nn.Module, freeze: Freeze, statistics: BatchStatistics) -> None:
    """Train mode, but for the batch normalizations that keep their running statistics."""
    model.train()
    if statistics == "all-layers":
        return
    kept = [backbone] if statistics == "no-layer" else frozen_modules(backbone, freeze)
    for module in kept:
        for part in module.modules():
            if isinstance(part, _BatchNorm):
                part.eval()
