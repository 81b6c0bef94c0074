"""The network as an attack sees it."""

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

    Afterwards it is as it was. A function that is no module is taken as it is.
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
    """The network below what spreads it over processes and lowers its precision."""
    if isinstance(model, DistributedDataParallel):
        return bare_network(model.module)
    if isinstance(model, MixedPrecision):
        return bare_network(model.network)
    return model
