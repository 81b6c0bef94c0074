"""The PyTorch backend of the base classifier."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from zoo.errors import CertificationError, OutOfMemoryError
from zoo.smoothing.backends.arithmetic import arithmetic
from zoo.smoothing.backends.base import Classes, Logits, checked_classes, require_shape
from zoo.smoothing.precision import DEFAULT, Precision

# A library of CUDA reports an allocation that failed by its own status. PyTorch passes it on as a RuntimeError, or a
# compiler wraps it in an error of its own.
OUT_OF_MEMORY = (
    "can't allocate memory",
    "not enough memory",
    "CUDA out of memory",
    "CUDA error: out of memory",
    "Triton Error [CUDA]: out of memory",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
    "CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate",  # whose workspace does not fit
    "CUSOLVER_STATUS_ALLOC_FAILED",
    "CUFFT_ALLOC_FAILED",
)


class TorchBackend:
    """A PyTorch callable `x_BCHW -> logits_BK` on one device."""

    depends_on_batch_shape = True

    def __init__(
        self,
        base: Callable[[Tensor], Tensor],
        *,
        num_classes: int,
        device: torch.device | str | None = None,
        precision: Precision = DEFAULT,
        is_channels_last: bool = False,
    ) -> None:
        """Wraps a callable; moves a module to the device and converts it to the layout.

        Args:
            base: A callable `x_BCHW` -> `logits_BK`, such as a module.
            num_classes: K.
            device: Device of the batches. By default that of the module's parameters, or the CPU if it has none.
            precision: The arithmetic, as in `arithmetic`. Each is a different base classifier.
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
        return self.classify_and_read(x_BCHW, ())[0]

    def classify_and_read(self, x_BCHW: Tensor, rows: Sequence[int]) -> tuple[Classes, Logits]:
        logits_BK: Logits = self.enqueue(x_BCHW).cpu().numpy()
        classes_B = checked_classes(logits_BK, num_images=len(x_BCHW), num_classes=self.num_classes)
        return classes_B, logits_BK[list(rows)]

    def enqueue(self, x_BCHW: Tensor) -> Tensor:
        mode = evaluating(self.base) if isinstance(self.base, nn.Module) else nullcontext()
        try:
            with mode, arithmetic(self.precision, self.device.type), torch.inference_mode():
                output_BK = self.base(x_BCHW.to(self.device, memory_format=self.layout))
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise OutOfMemoryError(
                f"{self.device} does not have enough memory for a batch of {len(x_BCHW)} images"
            ) from error
        if not isinstance(output_BK, Tensor):
            raise CertificationError(f"the base classifier must return a tensor, got {type(output_BK).__name__}")
        require_shape(output_BK.shape, num_images=len(x_BCHW), num_classes=self.num_classes)
        return output_BK.float()


def is_out_of_memory(error: RuntimeError | MemoryError) -> bool:
    """Whether an error says that memory ran out: in PyTorch's allocators, in Triton, or in a library of CUDA."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error)
    return any(phrase in text for phrase in OUT_OF_MEMORY)


def fused(network: nn.Module) -> nn.Module:
    """A copy in eval mode with each batch normalization folded into the convolution before it.

    The copy computes the same function except for the last digits, with fewer passes over memory. A network that cannot
    be traced symbolically, because its code depends on values or shapes, is copied unchanged.
    """
    copied = copy.deepcopy(network).eval()
    graph = traced(copied)
    if graph is None:
        return copied
    modules = dict(graph.named_modules())
    for node in list(graph.graph.nodes):
        # Subclasses may compute more than their base class: timm has batch normalizations with an activation.
        if node.op != "call_module" or type(modules[node.target]) is not nn.BatchNorm2d:
            continue
        source = node.args[0]
        if source.op != "call_module" or type(modules[source.target]) is not nn.Conv2d or len(source.users) > 1:
            continue
        parent, _, name = source.target.rpartition(".")
        setattr(graph.get_submodule(parent), name, fuse_conv_bn_eval(modules[source.target], modules[node.target]))
        node.replace_all_uses_with(source)
        graph.graph.erase_node(node)
    graph.delete_all_unused_submodules()
    graph.recompile()
    return graph


def traced(network: nn.Module) -> fx.GraphModule | None:
    """The network as a graph that shares its modules; None if it cannot be traced symbolically."""
    try:
        return fx.symbolic_trace(network)
    except Exception:  # tracing runs the network's own code on proxies, which may raise anything
        return None


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Puts the network into eval mode for the block, then restores the former mode of every module."""
    modules = list(network.modules())
    evaluated = [module for module in modules if not module.training]
    network.eval()
    try:
        yield
    finally:
        if len(evaluated) < len(modules):
            network.train()  # lets timm's networks forget tables that they computed from weights in eval mode
        for module in evaluated:
            module.training = False
