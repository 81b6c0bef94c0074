"""Compares the engine's draws per second on each CPU backend with a plain loop of the published algorithm.

    python -m benchmarks.throughput --architecture resnet18 --size 32 --draws 1600 --rounds 5
    python -m benchmarks.throughput --architecture resnet50 --size 224 --draws 160 --rounds 3

`benchmarks.loops` contains the loop; its batch size is 64 or the published 400. All contenders run in turn in every
round. Figures are medians over rounds; ratios are relative to the faster loop of the same round. On a GPU,
`python -m benchmarks.gpu --only throughput compiled` compares more contenders.

Prints a table to stderr and JSON to stdout.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import statistics
import sys
from collections.abc import Callable

import numpy as np
import onnxruntime
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from benchmarks.loops import LOOP_BATCHES, SIGMA, Run, published_loop, run_engine
from zoo.export.onnx import export_network
from zoo.export.quantization import quantize
from zoo.export.specialization import specialized
from zoo.models.architecture import build_network
from zoo.models.spec import Preprocessing
from zoo.smoothing import BaseClassifier, TorchBackend
from zoo.smoothing.backends import fused
from zoo.smoothing.backends.onnxruntime import OnnxBackend

NUM_CLASSES = 10

Contender = Callable[[], Run]


def calibrated_network(architecture: str, size: int, num_classes: int = NUM_CLASSES) -> nn.Module:
    """A random network whose batch statistics are fitted to noisy images.

    Without fitted statistics its logits would be constant or huge.
    """
    torch.manual_seed(0)
    network = build_network(
        architecture, num_classes=num_classes, preprocessing=Preprocessing(resize=size, crop=size)
    ).train()
    with torch.no_grad():
        for _ in range(8):
            network(noisy_images(16, size))
    return network.eval()


def noisy_images(num: int, size: int) -> Tensor:
    return torch.rand(num, 3, size, size) + SIGMA * torch.randn(num, 3, size, size)


def contenders(options: argparse.Namespace) -> tuple[dict[str, Contender], dict[str, BaseClassifier]]:
    """The contenders by name, and the backends among them."""
    size, num, batch_size = options.size, options.draws, options.batch_size
    network = calibrated_network(options.architecture, size)
    x_CHW = torch.randint(0, 256, (3, size, size)) / 255
    exported = export_network(specialized(network, size=size), size=size)
    batches = [noisy_images(16, size) for _ in range(3)]
    int8 = quantize(exported, num_classes=NUM_CLASSES, calibrating=batches[:2], compared=batches[2:], facts={}).content
    backends: dict[str, BaseClassifier] = {
        "onnx": OnnxBackend(exported, num_classes=NUM_CLASSES),
        "onnx, 8 bits (another classifier)": OnnxBackend(int8, num_classes=NUM_CLASSES, precision="int8"),
        "torch": TorchBackend(fused(network), num_classes=NUM_CLASSES, is_channels_last=True),
    }
    runs: dict[str, Contender] = {
        f"published loop, batch {batch}": lambda batch=batch: published_loop(
            network, x_CHW, num=num, batch_size=batch, num_classes=NUM_CLASSES
        )
        for batch in LOOP_BATCHES
    }
    for name, base in backends.items():
        runs[name] = lambda base=base: run_engine(base, x_CHW, num=num, batch_size=batch_size)
    runs["onnx, discrete noise"] = lambda: run_engine(
        backends["onnx"], x_CHW, num=num, batch_size=batch_size, noise="discrete"
    )
    return runs, backends


def compare_votes(options: argparse.Namespace, backends: dict[str, BaseClassifier]) -> dict[str, object]:
    """Differences of the backends' logits and votes from eager PyTorch on the same noisy images."""
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--architecture", default="resnet18")
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--draws", type=int, default=1600, help="draws per run; the loop rounds up to whole batches")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=256, help="batch size of the engine")
    parser.add_argument("--votes", type=int, default=0, help="votes to compare across backends")
    options = parser.parse_args()

    runs, backends = contenders(options)
    for run in runs.values():  # warm-up, not counted
        run()
    memory_before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    rounds = [{name: run() for name, run in runs.items()} for _ in range(options.rounds)]
    figures = {
        name: {
            "draws_per_second": round(statistics.median(one_round[name].rate for one_round in rounds), 1),
            "slowest_and_fastest": [
                round(pick(one_round[name].rate for one_round in rounds), 1) for pick in (min, max)
            ],
            "ratio_to_the_faster_loop": round(
                statistics.median(
                    one_round[name].rate
                    / max(one_round[f"published loop, batch {batch}"].rate for batch in LOOP_BATCHES)
                    for one_round in rounds
                ),
                2,
            ),
            "share_outside_the_network": None
            if rounds[0][name].outside is None
            else round(statistics.median(one_round[name].outside for one_round in rounds), 3),
        }
        for name in runs
    }
    result: dict[str, object] = {
        "architecture": options.architecture,
        "pixels": f"3x{options.size}x{options.size}",
        "draws_per_run": options.draws,
        "rounds": options.rounds,
        "batch_size": options.batch_size,
        "threads": torch.get_num_threads(),
        "contenders": figures,
        "memory_grown_in_the_rounds_MiB": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory_before) // 1024,
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "onnxruntime": onnxruntime.__version__,
        },
    }
    if options.votes:
        result["agreement"] = compare_votes(options, backends)
    show(figures)
    print(json.dumps(result, indent=2))


def show(figures: dict[str, dict]) -> None:
    table = Table("", "draws/s", "slowest, fastest", "ratio to the faster loop", "outside the network")
    for name, row in figures.items():
        slowest, fastest = row["slowest_and_fastest"]
        outside = "" if row["share_outside_the_network"] is None else f"{100 * row['share_outside_the_network']:.1f} %"
        ratio = f"{row['ratio_to_the_faster_loop']:.2f}"
        table.add_row(name, f"{row['draws_per_second']:.1f}", f"{slowest:.1f}, {fastest:.1f}", ratio, outside)
    Console(file=sys.stderr).print(table)


if __name__ == "__main__":
    main()
