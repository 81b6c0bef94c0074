"""The networks of timm, without any weights: their names, descriptions and construction."""

from __future__ import annotations

from functools import cache
from typing import Any

import timm
from torch import nn

from zoo.errors import RequestError
from zoo.host.loaned_setting import WARNINGS_IGNORED
from zoo.models.spec import TimmNetwork


@cache
def names() -> frozenset[str]:
    """The names of all networks that timm builds, without deprecated ones and without names of weights."""
    return frozenset(timm.list_models())


def build(name: str, *, num_classes: int, size: int) -> nn.Module:
    """A randomly initialized network, which is never given weights.

    Args:
        name: one of `names()`. timm takes a name of another form for an address of weights.
        num_classes: number of logits.
        size: height and width of the images in pixels. A network that fixes its input size is built for this size.

    Raises: RequestError if timm cannot build the network.
    """
    sized: dict[str, Any] = {"img_size": size} if describe(name).is_of_fixed_size else {}
    try:
        with WARNINGS_IGNORED:
            network: nn.Module = timm.create_model(name, pretrained=False, num_classes=num_classes, **sized)
    except Exception as error:  # constructors of timm's networks raise exceptions of any kind
        reason = " ".join(str(error).split()) or type(error).__name__
        raise RequestError(
            f"timm cannot build {name} for {num_classes} classes and images of {size} pixels: {reason}"
        ) from error
    return network


def describe(name: str) -> TimmNetwork:
    """timm's own description of one of `names()`."""
    config = timm.get_pretrained_cfg(name)
    if config is None:
        return TimmNetwork(name=name, first_conv=None, classifier=None, stride=None)
    pooled = config.pool_size
    return TimmNetwork(
        name=name,
        first_conv=config.first_conv,
        classifier=config.classifier,
        is_of_fixed_size=config.fixed_input_size,
        stride=None if pooled is None else round(config.input_size[1] / pooled[0]),
    )
