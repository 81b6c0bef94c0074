"""The published sampling loop and the engine, each timed over one run of draws.

The loop is Cohen et al.'s: eager PyTorch, noisy copies of one image, torch's own noise, argmax, counts on the host.
"""

from __future__ import annotations

import time

import numpy as np
import torch
from torch import Tensor, nn

from zoo.smoothing import (
    BaseClassifier,
    Certification,
    CertificationEngine,
    Noise,
    NoiseKey,
    NoisySampler,
    SamplingOptions,
    SmoothingSpec,
)

SIGMA = 0.5
N0 = 20
LOOP_BATCHES = (64, 400)


class Run:
    """The draws per second of one run, and the share of its time spent outside the network."""

    def __init__(self, num: int, seconds: float, network_seconds: float | None = None) -> None:
        self.rate = num / seconds
        self.outside = None if network_seconds is None else 1 - network_seconds / seconds


class Timed:
    """A backend that adds up the time spent in the network."""

    def __init__(self, base: BaseClassifier) -> None:
        self.base, self.seconds = base, 0.0
        self.name, self.num_classes, self.draws_on = base.name, base.num_classes, base.draws_on
        self.depends_on_batch_shape = base.depends_on_batch_shape

    def classify(self, x_BCHW: Tensor) -> np.ndarray:
        started = time.perf_counter()
        classes_B = self.base.classify(x_BCHW)
        self.seconds += time.perf_counter() - started
        return classes_B


def published_loop(network: nn.Module, x_CHW: Tensor, *, num: int, batch_size: int, num_classes: int) -> Run:
    """Counts the classes of at least `num` noisy copies, in whole batches, like the published `_sample_noise`."""
    num = -(-num // batch_size) * batch_size
    counts_K = np.zeros(num_classes, dtype=int)
    started = time.perf_counter()
    with torch.no_grad():
        for _ in range(num // batch_size):
            batch_BCHW = x_CHW.repeat((batch_size, 1, 1, 1))
            noise_BCHW = torch.randn_like(batch_BCHW) * SIGMA
            for label in network(batch_BCHW + noise_BCHW).argmax(1).cpu().numpy():
                counts_K[label] += 1
    return Run(num, time.perf_counter() - started)


def run_engine(base: BaseClassifier, x_CHW: Tensor, *, num: int, batch_size: int, noise: Noise = "gaussian") -> Run:
    """Runs one certification of `num` draws, including those of the selection.

    On a device, the network's time is not known: the host does not wait for it.
    """
    timed = Timed(base) if base.draws_on.type == "cpu" else None
    engine = CertificationEngine(NoisySampler(timed or base, SamplingOptions(batch_size=batch_size)))
    smoothing = SmoothingSpec(sigma=SIGMA, n0=N0, n=num - N0, noise=noise)
    engine.admit(Certification(0, x_CHW.cpu(), smoothing=smoothing, key=NoiseKey(0, 0)))
    started = time.perf_counter()
    while engine.num_open:
        engine.step()
    return Run(num, time.perf_counter() - started, None if timed is None else timed.seconds)
