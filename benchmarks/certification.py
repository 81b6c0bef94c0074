"""Draws per second of the engine beside a plain loop written as the published algorithm, in alternating rounds.

    python -m benchmarks.certification [--architecture resnet18] [--size 32] [--rounds 5] [--draws 2048]

The loop is Cohen et al.'s: eager float32, noisy copies of one image, torch's own noise, argmax, counts on the host.
Both use the same network, threads and batch size. Prints one line of JSON: medians, their ratio, and the share of the
engine's time that is spent outside the network.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time

import numpy as np
import torch

from zoo.architecture import build_network
from zoo.smoothing import (
    Certification,
    CertificationEngine,
    NoiseKey,
    NoisySampler,
    SamplingOptions,
    SmoothingSpec,
    TorchBackend,
)
from zoo.spec import Preprocessing

NUM_CLASSES = 10
SIGMA = 0.5


class TimedBackend(TorchBackend):
    """A backend that adds up the time it spends in the network."""

    seconds = 0.0

    def classify(self, x_BCHW):
        started = time.perf_counter()
        classes_B = super().classify(x_BCHW)
        self.seconds += time.perf_counter() - started
        return classes_B


def published_loop(network, x_CHW, *, num: int, batch_size: int) -> np.ndarray:
    """Class counts of `num` noisy copies, as the published `_sample_noise` makes them."""
    counts_K = np.zeros(NUM_CLASSES, dtype=int)
    with torch.no_grad():
        while num > 0:
            this_batch = min(batch_size, num)
            num -= this_batch
            batch_BCHW = x_CHW.repeat((this_batch, 1, 1, 1))
            noise_BCHW = torch.randn_like(batch_BCHW) * SIGMA
            for label in network(batch_BCHW + noise_BCHW).argmax(1).cpu().numpy():
                counts_K[label] += 1
    return counts_K


def run_engine(base, x_CHW, *, num: int, batch_size: int) -> None:
    engine = CertificationEngine(NoisySampler(base, SamplingOptions(batch_size=batch_size)))
    smoothing = SmoothingSpec(sigma=SIGMA, n0=100, n=num - 100)
    engine.admit(Certification(0, x_CHW, smoothing=smoothing, key=NoiseKey(0, 0)))
    while engine.num_open:
        engine.step()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--architecture", default="resnet18")
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--draws", type=int, default=2048)
    parser.add_argument("--batch-size", type=int, default=256)
    options = parser.parse_args()

    torch.manual_seed(0)
    preprocessing = Preprocessing(resize=options.size, crop=options.size)
    network = build_network(options.architecture, num_classes=NUM_CLASSES, preprocessing=preprocessing).eval()
    base = TimedBackend(network, num_classes=NUM_CLASSES)
    x_CHW = torch.rand(3, options.size, options.size)
    work = {"num": options.draws, "batch_size": options.batch_size}
    published_loop(network, x_CHW, **work)  # both warmed up, not counted
    run_engine(base, x_CHW, **work)

    base.seconds = 0.0
    loop_rates, engine_rates, engine_seconds = [], [], 0.0
    for _ in range(options.rounds):
        started = time.perf_counter()
        published_loop(network, x_CHW, **work)
        between = time.perf_counter()
        run_engine(base, x_CHW, **work)
        ended = time.perf_counter()
        loop_rates.append(options.draws / (between - started))
        engine_rates.append(options.draws / (ended - between))
        engine_seconds += ended - between
    ratios = [engine / loop for engine, loop in zip(engine_rates, loop_rates, strict=True)]
    print(
        json.dumps(
            {
                "architecture": options.architecture,
                "pixels": f"3x{options.size}x{options.size}",
                "batch_size": options.batch_size,
                "rounds": options.rounds,
                "loop_draws_per_second": round(statistics.median(loop_rates), 1),
                "engine_draws_per_second": round(statistics.median(engine_rates), 1),
                "ratio": round(statistics.median(ratios), 3),
                "share_outside_the_network": round(1 - base.seconds / engine_seconds, 3),
                "threads": torch.get_num_threads(),
                "versions": {"python": platform.python_version(), "torch": torch.__version__},
            }
        )
    )


if __name__ == "__main__":
    main()
