"""The default architecture of a run, and the check that an architecture takes the task's images."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.errors import RequestError
from zoo.models.architecture import NormalizedNetwork
from zoo.smoothing.backends import evaluating

ON_GPU = "resnet50"
ON_CPU = "resnet18", "tf_efficientnet_lite0"
MULTIPLY_ADDS_AT_224 = {"resnet50": 4.09e9, "resnet18": 1.81e9, "tf_efficientnet_lite0": 0.385e9}
"""For one image of 224x224 pixels. At other sizes they grow with the number of pixels."""
MOST_MULTIPLY_ADDS_ON_CPU = 0.5e9
LONGEST_REASON = 200


def default_architecture(device_type: str, size: int) -> str:
    """The architecture of a run that names none: the study's on a GPU, on a CPU one that a CPU can train.

    On a CPU it is a ResNet-18, if one image of `size` pixels takes at most 0.5 billion multiply-adds (up to 117
    pixels). Otherwise it is an EfficientNet-Lite0, which takes a fifth of the multiply-adds (decision 0033).
    """
    if device_type != "cpu":
        return ON_GPU
    small, cheap = ON_CPU
    return small if multiply_adds(small, size) <= MOST_MULTIPLY_ADDS_ON_CPU else cheap


def multiply_adds(architecture: str, size: int) -> float:
    """The approximate number of multiply-adds of a default architecture for one image of `size` pixels."""
    return MULTIPLY_ADDS_AT_224[architecture] * (size / 224) ** 2


def describe_default(architecture: str, *, device_type: str, size: int) -> str:
    """The line that says which architecture a run takes by default, and why."""
    cost = f"{multiply_adds(architecture, size) / 1e9:.2g} billion multiply-adds per image of {size} pixels"
    if device_type != "cpu":
        return f"architecture: {architecture}, the default on a GPU ({cost})"
    return (
        f"architecture: {architecture}, the default on a CPU at {size} pixels ({cost}; {ON_GPU}, the default on a GPU, "
        f"takes {multiply_adds(ON_GPU, size) / 1e9:.2g}); --architecture NAME chooses another"
    )


def require_logits(network: NormalizedNetwork, *, name: str, num_classes: int, size: int) -> None:
    """Raises RequestError unless the network maps `3 x size x size` pixels to one logit per class.

    Networks of timm may fix another size, need larger images or other channels. They say so in exceptions of any kind.
    """
    try:
        with evaluating(network), torch.inference_mode():
            logits_BK: object = network(torch.zeros(1, 3, size, size))
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise RequestError(
            f"{name} does not take images of 3x{size}x{size}: {reason[:LONGEST_REASON]}; choose another architecture "
            "or image size"
        ) from error
    found = tuple(logits_BK.shape) if isinstance(logits_BK, Tensor) else type(logits_BK).__name__
    if found != (1, num_classes):
        raise RequestError(f"{name} is not a classifier: it maps one image to {found}, expected {(1, num_classes)}")
