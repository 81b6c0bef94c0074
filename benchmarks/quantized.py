"""Compares an int8 checkpoint with its float32 parent: draws per second, resident memory, certified accuracy.

    python -m benchmarks.quantized --output FILE.json
    python -m benchmarks.quantized --model runs/resnet18 --task fashion-mnist --output FILE.json
    python -m benchmarks.quantized --tiny --output FILE.json

The first measures the speed of a random ResNet-50 at 224 pixels and takes at most nine minutes on two cores. The second
measures speed and certified accuracy of a model. The third runs the code, and its figures mean nothing.

Both checkpoints run in every round, each in a process of its own, through `zoo.smooth`, as in offline certification;
rounds alternate which one is first, and `--seconds` limits them all. Ratios are those of the same round. Memory is
that of the process: before it opens the network, after its draws, and at the most. Certified accuracy at a radius is
measured with the rule at-radius and the same noise on a stratified sample of the test images, with its 95 % interval
and that of the difference of the pairs.

`bars` compares the figures with the goals: 2.8 times the draws per second, and at most 2 points of certified accuracy
lost. The speed of int8 depends on the processor's instructions for it, which the report names.

Prints JSON to stdout as well.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

from benchmarks.loops import SIGMA
from benchmarks.machine import machine
from training.evaluation.certification import certify_images
from training.evaluation.certification_log import certification_run
from training.quantization import quantize_checkpoint
from training.tasks import Task, open_task
from training.tasks.task import ArrayImages
from zoo.checkpoints.checkpoint import Checkpoint, open_checkpoint
from zoo.checkpoints.writing import save_checkpoint
from zoo.cli._options import DATA_DIR
from zoo.loading.backend import default_batch_size, open_backend
from zoo.models.architecture import NormalizedNetwork, build_network
from zoo.models.spec import CertifiedConfig, ModelSpec, Preprocessing
from zoo.results.log import CertificationRow
from zoo.results.selection import Selection
from zoo.results.summary import binomial_interval
from zoo.smoothing import AtRadius, SamplingOptions, SmoothingSpec

NUM_CLASSES = 10
NUM_CALIBRATING, NUM_PICTURES = 128, 256  # the others compare the choices of float layers
NORMAL_QUANTILE = 1.959964
LEAST_RATIO, MOST_LOST = 2.8, 0.02
INT8_INSTRUCTIONS = ("avx_vnni", "avx512_vnni", "amx_int8", "i8mm", "dot")
"""Instructions that make int8 fast, in torch's words; without them, ONNX Runtime needs three instead of one."""


def random_checkpoint(folder: Path, *, architecture: str, size: int) -> tuple[Checkpoint, Task]:
    """A checkpoint of a random network with fitted batch statistics, and a task of random images of its size."""
    rng = np.random.default_rng(0)
    pictures = ArrayImages(rng.integers(0, 256, (NUM_PICTURES, size, size, 3), np.uint8), [0] * NUM_PICTURES)
    names = tuple(str(number) for number in range(NUM_CLASSES))
    preprocessing = Preprocessing(resize=size, crop=size)
    task = Task(
        name="random",
        class_names=names,
        preprocessing=preprocessing,
        augmentation="none",
        train=pictures,
        test=pictures,
    )
    torch.manual_seed(0)
    network = build_network(architecture, num_classes=NUM_CLASSES, preprocessing=preprocessing)
    fit_statistics(network, size)
    certified = CertifiedConfig(
        objective="gaussian", sigma=SIGMA, task="random", class_names=names, preprocessing=preprocessing
    )
    spec = ModelSpec(architecture=architecture, num_classes=NUM_CLASSES, certified=certified)
    return save_checkpoint(folder / "float32", network, spec), task


def fit_statistics(network: NormalizedNetwork, size: int) -> None:
    network.train()
    with torch.no_grad():
        for _ in range(4):
            network(torch.rand(16, 3, size, size) + SIGMA * torch.randn(16, 3, size, size))
    network.eval()


def measure(model: Path, num_draws: int) -> dict[str, float]:
    """Draws per second of one prediction after a warm-up, and resident memory in MiB. Runs in a process of its own."""
    import zoo

    before = resident_mebibytes()
    g = zoo.smooth(model, device="cpu", n=num_draws)
    crop = open_checkpoint(model).spec.preprocessing.crop
    x_CHW = torch.randint(0, 256, (3, crop, crop), generator=torch.Generator().manual_seed(0)) / 255
    g.predict(x_CHW, n=32, generator=torch.Generator().manual_seed(0))
    started = time.perf_counter()
    g.predict(x_CHW, n=num_draws, generator=torch.Generator().manual_seed(1))
    rate = num_draws / (time.perf_counter() - started)
    return {
        "draws_per_second": rate,
        "resident_MiB": resident_mebibytes(),
        "resident_before_MiB": before,
        "most_resident_MiB": resident_mebibytes("VmHWM"),  # ru_maxrss would be that of the starting process, if larger
    }


def resident_mebibytes(entry: str = "VmRSS") -> float:
    """An entry of this process's status: VmRSS for now, VmHWM for the most so far."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{entry}:"))


def measured_alone(model: Path, num_draws: int) -> dict[str, float]:
    words = [sys.executable, "-m", "benchmarks.quantized", "--measure", str(model), "--draws", str(num_draws)]
    done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1])
    return json.loads(done.stdout)


def speed(
    checkpoints: dict[str, Checkpoint], *, num_draws: int, num_rounds: int, seconds: float = math.inf
) -> dict[str, Any]:
    """The paired rounds. A further round begins only if it should end, as long as the others took, within `seconds`."""
    rounds: list[dict[str, dict[str, float]]] = []
    started = time.perf_counter()
    while len(rounds) < num_rounds and (time.perf_counter() - started) * (1 + 1 / max(1, len(rounds))) < seconds:
        names = list(checkpoints) if len(rounds) % 2 == 0 else list(reversed(checkpoints))
        rounds.append({name: measured_alone(checkpoints[name].path, num_draws) for name in names})
        print(f"round {len(rounds)}: {ratio_of(rounds[-1]):.2f}", file=sys.stderr, flush=True)
    ratios = [ratio_of(one) for one in rounds]
    medians = {
        name: {figure: statistics.median(one[name][figure] for one in rounds) for figure in rounds[0][name]}
        for name in checkpoints
    }
    return {"median": medians, "ratio": statistics.median(ratios), "ratios": ratios, "rounds": rounds}


def ratio_of(one: dict[str, dict[str, float]]) -> float:
    return one["int8"]["draws_per_second"] / one["float32"]["draws_per_second"]


def accuracy(
    checkpoints: dict[str, Checkpoint], task: Task, *, num_images: int, n: int, radius: float
) -> dict[str, Any]:
    """Certified accuracy at a radius of both checkpoints on the same images with the same noise, and its difference."""
    indices = Selection(sample="stratified", num_images=num_images, seed=0).of(task.test.labels)
    certified: dict[str, list[bool]] = {}
    figures: dict[str, Any] = {"images": len(indices), "radius": radius, "n": n}
    for name, checkpoint in checkpoints.items():
        started = time.perf_counter()
        rows = rows_of(checkpoint, task, indices, rule=AtRadius(radius, max_n=n))
        certified[name] = [row.correct and row.radius >= radius for row in rows]
        count = sum(certified[name])
        figures[name] = {
            "accuracy": count / len(rows),
            "interval": binomial_interval(count, len(rows)),
            "seconds": time.perf_counter() - started,
        }
    return figures | {"difference": paired_difference(certified["int8"], certified["float32"])}


def paired_difference(ours: list[bool], theirs: list[bool]) -> dict[str, Any]:
    """The difference of two shares of the same images, with its 95 % interval from the images that differ.

    Source: A. Agresti, Y. Min, Simple improved confidence intervals for comparing matched proportions, Statistics in
    Medicine 24 (2005): half an image more in each of the four cells, so that the interval has a width if none differs.
    """
    num_images = len(ours)
    only_ours, only_theirs = (
        sum(a and not b for a, b in zip(first, second, strict=True))
        for first, second in ((ours, theirs), (theirs, ours))
    )
    gained, lost, n = only_ours + 0.5, only_theirs + 0.5, num_images + 2
    middle = (gained - lost) / n
    half = NORMAL_QUANTILE * math.sqrt(gained + lost - (gained - lost) ** 2 / n) / n
    return {
        "mean": (only_ours - only_theirs) / num_images,
        "interval": [middle - half, middle + half],
        "images_only_int8": only_ours,
        "images_only_float32": only_theirs,
    }


def rows_of(checkpoint: Checkpoint, task: Task, indices: list[int], *, rule: AtRadius) -> list[CertificationRow]:
    base = open_backend(checkpoint)
    options = SamplingOptions(batch_size=default_batch_size(checkpoint, "cpu"))
    sigma = checkpoint.spec.certified.sigma
    assert sigma is not None, "zoo quantize requires it"
    smoothing = SmoothingSpec(sigma=sigma, stopping=rule)
    run = certification_run(checkpoint, task, smoothing=smoothing, base=base, options=options, seed=0)
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "rows.tsv"
        console = Console(stderr=True)
        return certify_images(run, base, task.test, indices, output=log, options=options, console=console)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="a float checkpoint; a random network unless given")
    parser.add_argument("--task", help="the task of --model")
    parser.add_argument("--data-dir", type=Path, default=DATA_DIR)
    parser.add_argument("--architecture", default="resnet50")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--draws", type=int, default=192, help="draws per run")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=360, help="longest time for all rounds")
    parser.add_argument("--radius", type=float, default=0.5)
    parser.add_argument("--images", type=int, default=500, help="test images to certify")
    parser.add_argument("--n", type=int, default=2_000, help="most draws per certificate")
    parser.add_argument("--tiny", action="store_true", help="the least work that runs the code")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure is not None:
        print(json.dumps(measure(options.measure, options.draws)))
        return
    if options.tiny:
        options.architecture, options.size, options.draws, options.rounds = "resnet10-quarter", 32, 32, 1
        options.n, options.images = 200, 20
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
        report = compare(options, Path(folder))
    if options.output is not None:
        options.output.write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))


def compare(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    if options.model is None:
        checkpoint, task = random_checkpoint(folder, architecture=options.architecture, size=options.size)
    else:
        checkpoint, task = open_checkpoint(options.model), open_task(options.task, data_dir=options.data_dir)
    started = time.perf_counter()
    int8 = quantize_checkpoint(checkpoint, task, output=folder / "int8", num_images=NUM_CALIBRATING, seed=0)
    quantization = int8.spec.certified.quantization
    assert quantization is not None
    report: dict[str, Any] = {
        "machine": machine(),
        "int8_instructions": [name for name in INT8_INSTRUCTIONS if torch.cpu.get_capabilities().get(name)],
        "is_tiny": options.tiny,
        "model": checkpoint.spec.name,
        "input": checkpoint.spec.preprocessing.describe(),
        "seconds_to_quantize": time.perf_counter() - started,
        "quantization": quantization.model_dump(),
        "file_MB": {"float32": size_of(checkpoint), "int8": size_of(int8)},
    }
    checkpoints = {"float32": checkpoint, "int8": int8}
    report["speed"] = speed(checkpoints, num_draws=options.draws, num_rounds=options.rounds, seconds=options.seconds)
    if options.model is not None:
        report["certified_accuracy"] = accuracy(
            checkpoints, task, num_images=options.images, n=options.n, radius=options.radius
        )
    return report | {"bars": bars(report)}


def bars(report: dict[str, Any]) -> dict[str, Any]:
    """The figures with a goal, and whether each reaches it; a model's speed has none, as it depends on its size."""
    if "certified_accuracy" in report:
        lost = -report["certified_accuracy"]["difference"]["mean"]
        return {"certified_accuracy_lost": lost, "at_most": MOST_LOST, "holds": lost <= MOST_LOST}
    ratio = report["speed"]["ratio"]
    return {"ratio": ratio, "at_least": LEAST_RATIO, "holds": ratio >= LEAST_RATIO}


def size_of(checkpoint: Checkpoint) -> float:
    return (checkpoint.path / checkpoint.spec.network_file).stat().st_size / 1e6


if __name__ == "__main__":
    main()
