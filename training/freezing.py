"""Frozen layers of a starting point, and the layers whose batch normalization uses the batch's statistics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from zoo.errors import RecipeError
from zoo.models.architecture import head_names, is_inside

Freeze = Literal["none", "conv1", "layer1", "layer2", "layer3", "all-but-head"]
"""The last frozen stage: it and all stages before it keep the weights of the starting point."""

BatchStatistics = Literal["all-layers", "trained-layers", "no-layer"]
"""The layers whose batch normalization uses the batch's statistics and updates the running statistics.

The other layers use and keep the running statistics of the starting point, so a frozen layer computes the same function
during and after training. MadryLab's library does the equivalent of `all-layers`."""

_STAGES = {"conv1": ("conv1", "bn1"), "layer1": ("layer1",), "layer2": ("layer2",), "layer3": ("layer3",)}


def require_stages(backbone: nn.Module, freeze: Freeze, *, architecture: str) -> None:
    """Raises RecipeError if `freeze` names a stage that the network does not have."""
    children = {name for name, _ in backbone.named_children()}
    if freeze in _STAGES and not children.issuperset(name for names in _STAGES.values() for name in names):
        raise RecipeError(
            f"freeze={freeze} names a stage of a ResNet, and {architecture} is not one: choose none or all-but-head"
        )


def freeze_parameters(backbone: nn.Module, freeze: Freeze) -> None:
    """Turns off gradients for the parameters of the frozen layers."""
    is_frozen = _frozen(backbone, freeze)
    for name, parameter in backbone.named_parameters():
        if is_frozen(name):
            parameter.requires_grad_(False)


def to_train_mode(model: nn.Module, backbone: nn.Module, freeze: Freeze, statistics: BatchStatistics) -> None:
    """Sets train mode, except for layers that compute the same function during and after training.

    These are the frozen layers, their batch normalization and their dropout included. If no layer uses the batch's
    statistics, they are also all batch normalizations.
    """
    model.train()
    if statistics == "all-layers":
        return
    is_frozen = _frozen(backbone, freeze)
    for name, layer in backbone.named_modules():
        if is_frozen(name) or (statistics == "no-layer" and isinstance(layer, _BatchNorm)):
            layer.training = False


def _frozen(backbone: nn.Module, freeze: Freeze) -> Callable[[str], bool]:
    """Whether `freeze` keeps the module or parameter with a name. A module that contains trained ones is not kept."""
    if freeze == "none":
        return lambda name: False
    if freeze == "all-but-head":
        heads = head_names(backbone)
        return lambda name: bool(name) and not is_inside(name, heads) and not any(is_inside(h, [name]) for h in heads)
    stages = get_args(Freeze)[1 : get_args(Freeze).index(freeze) + 1]
    kept = [name for stage in stages for name in _STAGES[stage]]
    return lambda name: is_inside(name, kept)
