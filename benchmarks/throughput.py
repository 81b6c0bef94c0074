"""Draws per second of the engine on each backend, beside a plain loop written as the published algorithm.

    python -m benchmarks.throughput --architecture resnet18 --size 32 --draws 1600 --rounds 5
    python -m benchmarks.throughput --architecture resnet50 --size 224 --draws 160 --rounds 3
    python -m benchmarks.throughput --architecture resnet50 --size 224 --draws 4000 --device cuda

The loop is Cohen et al.'s: eager float32, noisy copies of one image, torch's own noise, argmax, counts on the host; it
runs at a batch of 64 and at the published 400. All contenders run in every round, in turn; the figures are medians
over rounds, and ratios are taken within a round against the faster loop. On a GPU it also runs bfloat16, compiled
networks and a sweep of batches, and gives the share of the peak that a matrix product reaches on the same device.

Prints a table to stderr and JSON to stdout.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
import onnxruntime
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from zoo.export.onnx import export_network, quantize_to_int8
from zoo.export.specialization import specialized
from zoo.models.architecture import build_network
from zoo.models.spec import Preprocessing
from zoo.smoothing import (
    BaseClassifier,
    Certification,
    CertificationEngine,
    Noise,
    NoiseKey,
    NoisySampler,
    SamplingOptions,
    SmoothingSpec,
    TorchBackend,
)
from zoo.smoothing.backends import fused
from zoo.smoothing.backends.onnxruntime import OnnxBackend

NUM_CLASSES = 10
SIGMA = 0.5
N0 = 20
LOOP_BATCHES = (64, 400)

Contender = Callable[[], "Run"]


class Run:
    """How long one run took, how many draws it made, and what share of the time was not the network's."""

    def __init__(self, num: int, seconds: float, network_seconds: float | None = None) -> None:
        self.rate = num / seconds
        self.outside = None if network_seconds is None else 1 - network_seconds / seconds


class Timed:
    """A backend that adds up the time it spends in the network."""

    def __init__(self, base: BaseClassifier) -> None:
        self.base, self.seconds = base, 0.0
        self.name, self.num_classes, self.draws_on = base.name, base.num_classes, base.draws_on
        self.depends_on_batch_shape = base.depends_on_batch_shape

    def classify(self, x_BCHW: Tensor) -> np.ndarray:
        started = time.perf_counter()
        classes_B = self.base.classify(x_BCHW)
        self.seconds += time.perf_counter() - started
        return classes_B


def published_loop(network: nn.Module, x_CHW: Tensor, *, num: int, batch_size: int) -> Run:
    """Class counts of at least `num` noisy copies, in whole batches, as the published `_sample_noise` makes them."""
    num = -(-num // batch_size) * batch_size
    counts_K = np.zeros(NUM_CLASSES, dtype=int)
    started = time.perf_counter()
    with torch.no_grad():
        for _ in range(num // batch_size):
            batch_BCHW = x_CHW.repeat((batch_size, 1, 1, 1))
            noise_BCHW = torch.randn_like(batch_BCHW) * SIGMA
            for label in network(batch_BCHW + noise_BCHW).argmax(1).cpu().numpy():
                counts_K[label] += 1
    return Run(num, time.perf_counter() - started)


def run_engine(base: BaseClassifier, x_CHW: Tensor, *, num: int, batch_size: int, noise: Noise = "gaussian") -> Run:
    """One certification of `num` draws, the selection included."""
    timed = Timed(base)
    engine = CertificationEngine(NoisySampler(timed, SamplingOptions(batch_size=batch_size)))
    smoothing = SmoothingSpec(sigma=SIGMA, n0=N0, n=num - N0, noise=noise)
    engine.admit(Certification(0, x_CHW.cpu(), smoothing=smoothing, key=NoiseKey(0, 0)))
    started = time.perf_counter()
    while engine.num_open:
        engine.step()
    return Run(num, time.perf_counter() - started, timed.seconds)


def calibrated_network(architecture: str, size: int) -> nn.Module:
    """A random network whose batch statistics fit noisy images, so that its logits are neither constant nor huge."""
    torch.manual_seed(0)
    network = build_network(
        architecture, num_classes=NUM_CLASSES, preprocessing=Preprocessing(resize=size, crop=size)
    ).train()
    with torch.no_grad():
        for _ in range(8):
            network(noisy_images(16, size))
    return network.eval()


def noisy_images(num: int, size: int) -> Tensor:
    return torch.rand(num, 3, size, size) + SIGMA * torch.randn(num, 3, size, size)


def contenders(options: argparse.Namespace) -> tuple[dict[str, Contender], dict[str, BaseClassifier]]:
    """What runs, by name, and the backends among it."""
    device, size, num = torch.device(options.device), options.size, options.draws
    network = calibrated_network(options.architecture, size)
    x_CHW = (torch.randint(0, 256, (3, size, size)) / 255).to(device)
    backends: dict[str, BaseClassifier] = {}
    batches = {}
    if device.type == "cpu":
        exported = export_network(specialized(network, size=size), size=size)
        int8 = quantize_to_int8(exported, noisy_images(32, size).numpy())
        backends["onnx"] = OnnxBackend(exported, num_classes=NUM_CLASSES)
        backends["onnx, 8 bits (another classifier)"] = OnnxBackend(int8, num_classes=NUM_CLASSES, precision="int8")
        backends["torch"] = torch_backend(network, device)
        batches = dict.fromkeys(backends, options.batch_size)
    else:
        for batch_size in (64, 256, 1024):
            name = f"torch, batch {batch_size}"
            backends[name], batches[name] = torch_backend(network, device), batch_size
            name = f"torch bfloat16 (another classifier), batch {batch_size}"
            backends[name], batches[name] = torch_backend(network, device, precision="bfloat16"), batch_size
            name = f"torch bfloat16 compiled (another classifier), batch {batch_size}"
            compiled = torch.compile(fused(network).to(device), mode="reduce-overhead")
            backends[name] = TorchBackend(
                compiled, num_classes=NUM_CLASSES, device=device, precision="bfloat16", is_channels_last=True
            )
            batches[name] = batch_size
    network = network.to(device)
    runs: dict[str, Contender] = {
        f"published loop, batch {batch}": lambda batch=batch: published_loop(network, x_CHW, num=num, batch_size=batch)
        for batch in LOOP_BATCHES
    }
    for name, base in backends.items():
        runs[name] = lambda base=base, name=name: run_engine(base, x_CHW, num=num, batch_size=batches[name])
    if device.type == "cpu":
        runs["onnx, discrete noise"] = lambda: run_engine(
            backends["onnx"], x_CHW, num=num, batch_size=options.batch_size, noise="discrete"
        )
    return runs, backends


def torch_backend(network: nn.Module, device: torch.device, precision: str = "float32") -> TorchBackend:
    return TorchBackend(
        fused(network), num_classes=NUM_CLASSES, device=device, precision=precision, is_channels_last=True
    )


def compare_votes(options: argparse.Namespace, backends: dict[str, BaseClassifier]) -> dict[str, object]:
    """Logits and votes of the backends beside eager PyTorch, on the same noisy images."""
    network = calibrated_network(options.architecture, options.size)
    num_compared, largest = 0, dict.fromkeys(backends, 0.0)
    differing = dict.fromkeys(backends, 0)
    while num_compared < options.votes:
        x_BCHW = noisy_images(min(50, options.votes - num_compared), options.size)
        with torch.inference_mode():
            expected_BK = network(x_BCHW).numpy()
        for name, base in backends.items():
            if isinstance(base, OnnxBackend):
                largest[name] = max(largest[name], float(np.abs(base.logits(x_BCHW) - expected_BK).max()))
            differing[name] += int((base.classify(x_BCHW) != expected_BK.argmax(axis=1)).sum())
        num_compared += len(x_BCHW)
    return {
        "num_compared": num_compared,
        "largest_logit": float(np.abs(expected_BK).max()),
        "largest_difference_of_a_logit": {name: value for name, value in largest.items() if value},
        "votes_that_differ": differing,
    }


def matrix_peak(device: torch.device, dtype: torch.dtype, size: int = 8192) -> float:
    """Floating-point operations per second of a square matrix product on a GPU."""
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    a @ b
    torch.cuda.synchronize(device)
    started = time.perf_counter()
    for _ in range(20):
        a @ b
    torch.cuda.synchronize(device)
    return 20 * 2 * size**3 / (time.perf_counter() - started)


def flops_a_draw(options: argparse.Namespace) -> int:
    network = calibrated_network(options.architecture, options.size)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(noisy_images(1, options.size))
    return int(counter.get_total_flops())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--architecture", default="resnet18")
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--draws", type=int, default=1600, help="draws a run; the loop makes whole batches")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=256, help="of the engine on a CPU")
    parser.add_argument("--votes", type=int, default=0, help="votes to compare across backends")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()

    runs, backends = contenders(options)
    for run in runs.values():  # warmed up, not counted
        run()
    memory_before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    rounds = [{name: run() for name, run in runs.items()} for _ in range(options.rounds)]
    found = {
        name: {
            "draws_per_second": round(statistics.median(each[name].rate for each in rounds), 1),
            "slowest_and_fastest": [round(pick(each[name].rate for each in rounds), 1) for pick in (min, max)],
            "ratio_to_the_faster_loop": round(
                statistics.median(
                    each[name].rate / max(each[f"published loop, batch {batch}"].rate for batch in LOOP_BATCHES)
                    for each in rounds
                ),
                2,
            ),
            "share_outside_the_network": None
            if rounds[0][name].outside is None
            else round(statistics.median(each[name].outside for each in rounds), 3),
        }
        for name in runs
    }
    result: dict[str, object] = {
        "architecture": options.architecture,
        "pixels": f"3x{options.size}x{options.size}",
        "draws_a_run": options.draws,
        "rounds": options.rounds,
        "batch_size": options.batch_size,
        "threads": torch.get_num_threads(),
        "contenders": found,
        "memory_grown_in_the_rounds_MiB": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory_before) // 1024,
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "onnxruntime": onnxruntime.__version__,
        },
    }
    if options.votes and options.device == "cpu":
        result["agreement"] = compare_votes(options, backends)
    if options.device != "cpu":
        device = torch.device(options.device)
        peak, needed = matrix_peak(device, torch.bfloat16), flops_a_draw(options)
        result["device"] = torch.cuda.get_device_name(device)
        result["bfloat16_matrix_peak_TFLOPS"] = round(peak / 1e12, 1)
        result["share_of_the_peak"] = {
            name: round(each["draws_per_second"] * needed / peak, 3) for name, each in found.items()
        }
    show(found)
    print(json.dumps(result, indent=2))


def show(found: dict[str, dict]) -> None:
    table = Table("", "draws/s", "slowest, fastest", "against the faster loop", "outside the network")
    for name, each in found.items():
        slowest, fastest = each["slowest_and_fastest"]
        outside = (
            "" if each["share_outside_the_network"] is None else f"{100 * each['share_outside_the_network']:.1f} %"
        )
        ratio = f"{each['ratio_to_the_faster_loop']:.2f}"
        table.add_row(name, f"{each['draws_per_second']:.1f}", f"{slowest:.1f}, {fastest:.1f}", ratio, outside)
    Console(file=sys.stderr).print(table)


if __name__ == "__main__":
    main()
