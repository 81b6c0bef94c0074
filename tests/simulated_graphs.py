"""torch.compile and CUDA graphs for the simulated device: a replay computes again what was captured, in its memory."""

from contextlib import contextmanager, nullcontext

import torch

from tests.simulated_device import Stream
from zoo.smoothing.backends import can_compile


class Graph:
    """Computes again what the compiled network computed while it was captured, from and into the same tensors."""

    capturing = None
    largest_batch = 10**9
    num_captured = 0

    def __init__(self):
        self.calls = []

    def replay(self):
        for network, x_BCHW, logits_BK in self.calls:
            logits_BK.copy_(network(x_BCHW))

    @classmethod
    @contextmanager
    def captured(cls, graph, *, stream, capture_error_mode):
        assert isinstance(stream, Stream) and not torch.is_autocast_cache_enabled()
        cls.capturing, cls.num_captured = graph, cls.num_captured + 1
        try:
            yield
        except torch.OutOfMemoryError:  # CUDA reports the end of the capture that failed
            raise RuntimeError("CUDA error: operation failed due to a previous error during capture")  # noqa: B904
        finally:
            cls.capturing = None

    @classmethod
    def compile(cls, network, *, dynamic, fullgraph):
        def run(x_BCHW):
            logits_BK = network(x_BCHW)
            if cls.capturing is not None:
                if len(x_BCHW) > cls.largest_batch:
                    raise torch.OutOfMemoryError("CUDA out of memory")
                cls.capturing.calls.append((network, x_BCHW, logits_BK))
            return logits_BK

        return run


@contextmanager
def simulated_graphs(monkeypatch):
    """Networks can be compiled and captured inside the block; `Graph` counts the captures."""
    monkeypatch.setattr(Graph, "largest_batch", 10**9)
    monkeypatch.setattr(Graph, "num_captured", 0)
    monkeypatch.setattr(torch, "compile", Graph.compile)
    for name, fake in {
        "CUDAGraph": Graph, "graph": Graph.captured, "Stream": Stream,
        "stream": lambda stream: nullcontext(), "device": lambda device: nullcontext(),
    }.items():  # fmt: skip
        monkeypatch.setattr(torch.cuda, name, fake)
    can_compile.cache_clear()
    yield
    can_compile.cache_clear()
