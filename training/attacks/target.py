"""The form of the network that an attack uses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from training.precision import MixedPrecision
from zoo.smoothing.backends import arithmetic, evaluating

Network = Callable[[Tensor], Tensor]


@contextmanager
def under_attack(model: Network) -> Iterator[Network]:
    """The network in eval mode, in float32 without TF32, on this process alone, and with gradients for its input only.

    The context restores the network on exit. A function that is not a module is yielded unchanged.
    """
    if not isinstance(model, nn.Module):
        is_on_cuda = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
        with arithmetic("float32", "cuda" if is_on_cuda else "cpu"):
            yield model
        return
    bare = bare_network(model)
    trained = [parameter for parameter in bare.parameters() if parameter.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        with evaluating(bare), arithmetic("float32", device_type_of(bare)):
            yield bare
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)


def bare_network(model: nn.Module) -> nn.Module:
    """The network without its wrappers for distributed training and mixed precision."""
    if isinstance(model, DistributedDataParallel):
        return bare_network(model.module)
    if isinstance(model, MixedPrecision):
        return bare_network(model.network)
    return model


def device_type_of(network: nn.Module) -> str:
    """The type of the device that a network computes on: that of its parameters, or cpu if it has none."""
    parameter = next(network.parameters(), None)
    return "cpu" if parameter is None else parameter.device.type
