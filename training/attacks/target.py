"""The form of the network that an attack uses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from training.precision import MixedPrecision
from zoo.smoothing.backends import evaluating

Network = Callable[[Tensor], Tensor]


@contextmanager
def under_attack(model: Network) -> Iterator[Network]:
    """The network in eval mode, in full precision, on this process alone, and with gradients for its input only.

    The context restores the network on exit. A function that is not a module is yielded unchanged.
    """
    if not isinstance(model, nn.Module):
        yield model
        return
    bare = bare_network(model)
    trained = [parameter for parameter in bare.parameters() if parameter.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        with evaluating(bare):
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
