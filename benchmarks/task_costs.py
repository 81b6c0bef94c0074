"""Prints the tables of docs/reference/tasks.md: facts about each task, and the estimated cost of training on one GPU.

    python -m benchmarks.task_costs
    python -m benchmarks.task_costs --share 0.1 --bf16-tflops 989 --tf32-tflops 495

Costs are ESTIMATES; nothing is measured. The script counts floating-point operations and activations of ResNet-50 at
3x224x224 (without allocating weights) and computes

    hours = images x epochs x forward-equivalents x operations per forward pass / (share of the peak x peak) / 3600

A forward and a full backward pass are 3 forward-equivalents; a forward pass and a backward pass to the pixels only are
2. Consistency regularization with m = 2 takes 2 x 3 in bfloat16. Adversarial training takes 3 attack steps of 2 in TF32
and 3 in bfloat16. A certification takes (n0 + n) forward passes in TF32 for each image that `skip` selects. Loading
images and validation are not included.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models import resnet50

from training.tasks.published import PublishedTask
from training.tasks.table import PUBLISHED

EPOCHS, IMAGENET_EPOCHS = 150, 90
TRAIN_PASS, ATTACK_STEP = 3, 2
NUM_NOISE, NUM_ATTACK_STEPS = 2, 3
DRAWS = 100 + 100_000
BATCH_SIZE = 64
GIB = 2**30


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """Operations per second that a network reaches: `share` of the peaks. The defaults are an A100's dense peaks."""

    share: float = 0.2
    bf16_tflops: float = 312.0
    tf32_tflops: float = 156.0

    def bf16_hours(self, operations: float) -> float:
        return operations / (self.share * self.bf16_tflops * 1e12) / 3600

    def tf32_hours(self, operations: float) -> float:
        return operations / (self.share * self.tf32_tflops * 1e12) / 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSize:
    """Operations of a forward pass and elements of all convolution outputs, both for one image; parameters."""

    operations: float
    activations: int
    parameters: int


def measure_network() -> NetworkSize:
    """The size of ResNet-50 at 3x224x224, counted on the meta device."""
    network = resnet50().to("meta").eval()
    sizes: list[int] = []

    def note(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        sizes.append(output.numel())

    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(note)
    with FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, 3, 224, 224, device="meta"))
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return NetworkSize(operations=counter.get_total_flops(), activations=sum(sizes), parameters=parameters)


def memory_gib(network: NetworkSize, *, num_images: int, bytes_each: int) -> float:
    """Memory in GiB: weights, gradients and momentum in float32, two activations per convolution, 1 GiB for CUDA.

    A forward pass keeps a convolution's output for the backward pass of normalization, and the rectified output for
    the backward pass of the next convolution.
    """
    return (3 * 4 * network.parameters + num_images * 2 * network.activations * bytes_each) / GIB + 1


def facts_table() -> str:
    """Counts of every task. If the data's counts differ from Table 8, they follow a slash."""
    lines = [
        "| task | data set | classes | training images | test images | skip | certified |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in PUBLISHED:
        train, test = _both(row.table8.train, row.train), _both(row.table8.test, row.test)
        lines.append(
            f"| `{row.name}` | {row.title} | {row.classes} | {train} | {test} | {row.table8.skip} | "
            f"{row.table8.certified} |"
        )
    return "\n".join(lines)


def details_table() -> str:
    """Split, layout on disk and deviations of every task."""
    lines = ["| task | split | expected on disk | source | deviations |", "|---|---|---|---|---|"]
    for row in PUBLISHED:
        below = f"below {row.subfolder}/: " if row.subfolder else ""
        source = f"downloaded from {row.source}" if row.downloads else row.source
        deviations = " ".join(row.deviations) or "none"
        lines.append(f"| `{row.name}` | {_plain(row.split)} | {below}{_plain(row.layout)} | {source} | {deviations} |")
    return "\n".join(lines)


def costs_table(gpu: Gpu) -> str:
    """Epochs, hours and memory of every task on one GPU."""
    network = measure_network()
    consistency_gib = memory_gib(network, num_images=BATCH_SIZE * NUM_NOISE, bytes_each=2)
    adversarial_gib = memory_gib(network, num_images=BATCH_SIZE, bytes_each=4)
    memory = f"{max(consistency_gib, adversarial_gib):.0f} GiB"
    lines = [
        "| task | network | epochs | standard | consistency, m = 2 | adversarial, 3 steps | certification | memory |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in PUBLISHED:
        hours = " | ".join(
            f"{cost:.1f} h" if cost >= 1 else f"{cost * 60:.0f} min" for cost in _hours(row, network, gpu)
        )
        lines.append(f"| `{row.name}` | ResNet-50 | {_epochs(row)} | {hours} | {memory} |")
    return "\n".join(lines)


def _hours(row: PublishedTask, network: NetworkSize, gpu: Gpu) -> tuple[float, float, float, float]:
    passes = row.train * _epochs(row) * network.operations
    standard = gpu.bf16_hours(passes * TRAIN_PASS)
    consistency = gpu.bf16_hours(passes * TRAIN_PASS * NUM_NOISE)
    adversarial = gpu.tf32_hours(passes * ATTACK_STEP * NUM_ATTACK_STEPS) + standard
    certification = gpu.tf32_hours(row.table8.certified * DRAWS * network.operations)
    return standard, consistency, adversarial, certification


def _epochs(row: PublishedTask) -> int:
    return IMAGENET_EPOCHS if row.name == "imagenet" else EPOCHS


def _both(paper: int, data: int) -> str:
    return f"{paper:,}" if paper == data else f"{paper:,} / {data:,}"


def _plain(text: str) -> str:
    """The text with its stars escaped, so that Markdown does not take them for emphasis."""
    return text.replace("*", "\\*")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    defaults = Gpu()
    parser.add_argument("--share", type=float, default=defaults.share, help="sustained share of the peak")
    parser.add_argument("--bf16-tflops", type=float, default=defaults.bf16_tflops)
    parser.add_argument("--tf32-tflops", type=float, default=defaults.tf32_tflops)
    gpu = Gpu(**vars(parser.parse_args()))
    print(facts_table(), details_table(), costs_table(gpu), sep="\n\n")


if __name__ == "__main__":
    main()
