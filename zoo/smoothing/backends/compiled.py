"""The PyTorch backend on CUDA with a compiled network, whose batches are replays of a CUDA graph.

A compiler fuses normalization, activations and casts into few kernels, and a graph launches all kernels of a batch at
once. The fused kernels round differently, so the compiled network is another base classifier, named `compiled`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from threading import Lock

import torch
from torch import Tensor, nn

from zoo.errors import BackendError
from zoo.smoothing.backends.pytorch import TorchBackend, is_out_of_memory
from zoo.smoothing.precision import DEFAULT, Precision

NUM_WARM_UPS = 3  # the first pass compiles; libraries allocate their workspaces in the first passes

_logger = logging.getLogger(__name__)


class CompiledBackend(TorchBackend):
    """A compiled network on a CUDA device. The first batch of a shape compiles it, which may take a minute."""

    def __init__(
        self, network: nn.Module, *, num_classes: int, device: torch.device | str, precision: Precision = DEFAULT
    ) -> None:
        """Moves the network to the device.

        Args:
            network: A network `x_BCHW` -> `logits_BK`; it stays in eval mode.
            num_classes: K.
            device: A CUDA device.
            precision: The arithmetic, as in TorchBackend.
        """
        network = network.eval()
        super().__init__(network, num_classes=num_classes, device=device, precision=precision, is_channels_last=True)
        self.eager = TorchBackend(
            network, num_classes=num_classes, device=device, precision=precision, is_channels_last=True
        )
        """The same network without a compiler: another base classifier, which takes longer for a batch."""
        self.base = GraphedNetwork(network, self.device)
        self.name = f"torch-{self.device.type}-compiled-{precision}"


class GraphedNetwork:
    """A callable `x_BCHW` -> `logits_BK` that copies each batch into the input of a CUDA graph and replays the graph.

    A graph has one shape, and its memory. Only that of the last shape is kept, because a sampler pads its batches to
    one shape until memory runs out. Only one call runs at a time: those of several samplers, in threads, share a graph.
    """

    def __init__(self, network: nn.Module, device: torch.device) -> None:
        # Without `fullgraph`, torch would run parts of a network that it cannot compile, without an error.
        self._compiled = torch.compile(network, dynamic=False, fullgraph=True)
        self._device = device
        self._graph: _Graph | None = None
        self._lock = Lock()

    def __call__(self, x_BCHW: Tensor) -> Tensor:
        """The logits. Raises: BackendError if the network cannot be compiled or captured; errors of memory as torch."""
        with self._lock:
            if self._graph is None or self._graph.x_BCHW.shape != x_BCHW.shape:
                self._graph = None  # its memory is free for the next one
                self._graph = self._new_graph(x_BCHW)
            return self._graph.replayed(x_BCHW)

    def _new_graph(self, x_BCHW: Tensor) -> _Graph:
        try:
            with torch.cuda.device(self._device), _uncached_casts():
                return self._captured(x_BCHW)
        except Exception as error:  # compilers raise anything
            if _is_about_memory(error):
                raise MemoryError(f"there is not enough memory to capture a batch of {len(x_BCHW)} images") from error
            reason = str(error).partition("\n")[0]
            raise BackendError(
                f"the network cannot be compiled and captured as a CUDA graph ({reason}): choose --backend torch"
            ) from error

    def _captured(self, x_BCHW: Tensor) -> _Graph:
        """A graph of the compiled network. CUDA requires that the network has run on the capturing stream before."""
        static_BCHW = torch.empty_like(x_BCHW)
        static_BCHW.copy_(x_BCHW)
        stream = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        current = torch.cuda.current_stream(self._device)
        stream.wait_stream(current)
        with torch.cuda.stream(stream):
            for _ in range(NUM_WARM_UPS):
                self._compiled(static_BCHW)
        current.wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        # Other threads may allocate memory meanwhile, which would end a capture of the mode "global".
        with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
            logits_BK = self._compiled(static_BCHW).float()
        return _Graph(graph, static_BCHW, logits_BK)


@dataclass(frozen=True, slots=True)
class _Graph:
    """A captured graph, which reads `x_BCHW` and writes `logits_BK`."""

    graph: torch.cuda.CUDAGraph
    x_BCHW: Tensor
    logits_BK: Tensor

    def replayed(self, x_BCHW: Tensor) -> Tensor:
        """The logits of a batch, in memory of their own. The host does not wait for them."""
        self.x_BCHW.copy_(x_BCHW)
        self.graph.replay()
        return self.logits_BK.clone()


@cache
def can_compile(device: torch.device) -> bool:
    """Whether networks can be compiled and captured on a CUDA device; a warning gives the reason if not."""
    try:
        x_BCHW = torch.zeros(2, 3, 2, 2, device=device)
        network = nn.Sequential(nn.ReLU(), nn.Flatten())
        CompiledBackend(network, num_classes=x_BCHW[0].numel(), device=device).classify(x_BCHW)
    except Exception as error:  # the compiler, a C compiler or a supported GPU is missing
        _logger.warning("PyTorch does not compile networks on %s, so they run uncompiled: %s", device, error)
        return False
    return True


@contextmanager
def _uncached_casts() -> Iterator[None]:
    """Keeps autocast from caching casts of weights: a graph would read them after the cache has freed them."""
    before = torch.is_autocast_cache_enabled()
    torch.set_autocast_cache_enabled(False)
    try:
        yield
    finally:
        torch.set_autocast_cache_enabled(before)


def _is_about_memory(error: BaseException | None) -> bool:
    """Whether an error, or one that it followed, says that memory ran out. The end of a failed capture hides it."""
    while error is not None:
        if isinstance(error, RuntimeError | MemoryError) and is_out_of_memory(error):
            return True
        error = error.__cause__ or error.__context__
    return False
