"""The PyTorch backend of the base classifier."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Literal

import torch
from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from zoo.errors import CertificationError, OutOfMemoryError
from zoo.smoothing.backends.base import Classes, checked_classes

Precision = Literal["float32", "bfloat16"]
CPU_OUT_OF_MEMORY = "not enough memory"


class TorchBackend:
    """A PyTorch callable `x_BCHW -> logits_BK` on one device."""

    depends_on_batch_shape = True

    def __init__(
        self,
        base: Callable[[Tensor], Tensor],
        *,
        num_classes: int,
        device: torch.device | str | None = None,
        precision: Precision = "float32",
        is_channels_last: bool = False,
    ) -> None:
        """Moves a module to the device.

        Args:
            base: A callable `x_BCHW` -> `logits_BK`. A module is also converted to the layout.
            num_classes: K.
            device: Device of the batches; by default that of the module's parameters, and the CPU without parameters.
            precision: "bfloat16" is automatic mixed precision, which is a different base classifier from "float32".
            is_channels_last: Lays batches out channels last, the best layout for convolutions.
        """
        if device is None:
            parameter = next(base.parameters(), None) if isinstance(base, nn.Module) else None
            device = "cpu" if parameter is None else parameter.device
        self.device = torch.device(device)
        self.layout = torch.channels_last if is_channels_last else torch.contiguous_format
        self.base = base
        if isinstance(base, nn.Module):
            self.base = base.to(self.device).to(memory_format=self.layout)
        self.num_classes = num_classes
        self.precision = precision
        self.name = f"torch-{self.device.type}-{precision}"

    @property
    def draws_on(self) -> torch.device:
        return self.device

    def classify(self, x_BCHW: Tensor) -> Classes:
        mode = evaluating(self.base) if isinstance(self.base, nn.Module) else nullcontext()
        mixed = torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16")
        try:
            with mode, mixed, torch.inference_mode():
                answer_BK = self.base(x_BCHW.to(self.device, memory_format=self.layout))
        except RuntimeError as error:
            if not isinstance(error, torch.OutOfMemoryError) and CPU_OUT_OF_MEMORY not in str(error):
                raise
            raise OutOfMemoryError(f"{self.device} has no memory for a batch of {len(x_BCHW)}") from error
        if not isinstance(answer_BK, Tensor):
            raise CertificationError(f"the base classifier answered {type(answer_BK).__name__}, expected a tensor")
        logits_BK = answer_BK.float().cpu().numpy()
        return checked_classes(logits_BK, num_images=len(x_BCHW), num_classes=self.num_classes)


def fused(network: nn.Module) -> nn.Module:
    """A copy in eval mode with each batch normalization folded into the convolution before it.

    The copy computes the same function except for the last digits, with fewer passes over memory.
    """
    graph = fx.symbolic_trace(copy.deepcopy(network).eval())
    modules = dict(graph.named_modules())
    for node in list(graph.graph.nodes):
        if node.op != "call_module" or not isinstance(modules[node.target], nn.BatchNorm2d):
            continue
        before = node.args[0]
        if before.op != "call_module" or not isinstance(modules[before.target], nn.Conv2d) or len(before.users) > 1:
            continue
        parent, _, name = before.target.rpartition(".")
        setattr(graph.get_submodule(parent), name, fuse_conv_bn_eval(modules[before.target], modules[node.target]))
        node.replace_all_uses_with(before)
        graph.graph.erase_node(node)
    graph.delete_all_unused_submodules()
    graph.recompile()
    return graph


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Puts the network into eval mode for the block, then restores the former mode of every module."""
    were_training = [module for module in network.modules() if module.training]
    network.eval()
    try:
        yield
    finally:
        for module in were_training:
            module.training = True
