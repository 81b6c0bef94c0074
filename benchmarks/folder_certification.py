"""Measures how much of the time of `zoo certify` on a folder of JPEG files is spent outside the network.

    python -m benchmarks.folder_certification
    python -m benchmarks.folder_certification --images 500 --architecture efficientnet_lite0 --size 224 --rounds 3
    python -m benchmarks.folder_certification --checkpoint MODEL --radius 0.5

It writes JPEG files of 500x375, ImageNet's average size, and certifies them by the rule at-radius, with a log, as the
command does. Without `--checkpoint` the network has random weights and batch statistics fitted to noisy images. In turn
with it, it certifies the same images from memory, cropped before the measurement: a decoder that works at the same time
as the network takes cores from it, which only this comparison shows. Figures are medians over rounds, after a round of
warm-up. The machine must be otherwise idle.

Prints a table to stderr and JSON to stdout.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from rich.console import Console
from rich.table import Table

from benchmarks.loops import SIGMA, Timed
from benchmarks.machine import machine
from benchmarks.throughput import calibrated_network
from benchmarks.training import NUM_CLASSES, write_pictures
from training.evaluation.certification import certify_images
from training.evaluation.certification_log import certification_run
from training.tasks import LabelledImages, Task, open_task
from zoo.checkpoints.checkpoint import Checkpoint, open_checkpoint
from zoo.checkpoints.writing import save_checkpoint
from zoo.loading.backend import default_batch_size, open_backend
from zoo.models.preprocessing import to_bytes_CHW
from zoo.models.spec import CertifiedConfig, ModelSpec, Preprocessing
from zoo.smoothing import AtRadius, SamplingOptions, SmoothingSpec

MOST_DRAWS = 1_000


@dataclass(frozen=True)
class InMemory:
    """Images that are decoded and cropped already."""

    images: list[Image.Image]
    labels: list[int]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Image.Image:
        return self.images[index]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--architecture", default="efficientnet_lite0")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--radius", type=float, default=0.25)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--checkpoint", type=Path, metavar="DIR", help="a checkpoint instead of a random network")
    words = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        pictures = write_pictures(folder / "pictures", 2 * NUM_CLASSES, words.images)
        task = open_task(f"imagefolder:{pictures}", data_dir=folder)
        checkpoint = made_checkpoint(folder / "checkpoint", task, words) if words.checkpoint is None else None
        results = measured(checkpoint or open_checkpoint(words.checkpoint), task, folder, words)
    print_table(results)
    print(json.dumps({**vars(words), "machine": machine(), **results}, indent=2, default=str))


def made_checkpoint(folder: Path, task: Task, words: argparse.Namespace) -> Checkpoint:
    """A checkpoint of a random network for the task's classes."""
    network = calibrated_network(words.architecture, words.size, num_classes=len(task.class_names))
    certified = CertifiedConfig(
        objective="gaussian",
        hyper_parameters={"sigma": SIGMA},
        sigma=SIGMA,
        task=task.name,
        class_names=task.class_names,
        seed=0,
        epochs=0,
        recipe_digest="0" * 64,
        preprocessing=Preprocessing(resize=words.size * 8 // 7, crop=words.size),
    )
    spec = ModelSpec(architecture=words.architecture, num_classes=len(task.class_names), certified=certified)
    return save_checkpoint(folder, network, spec)


def measured(checkpoint: Checkpoint, task: Task, folder: Path, words: argparse.Namespace) -> dict[str, Any]:
    """The medians over rounds, and the rounds, of both runs."""
    timed = Timed(open_backend(checkpoint, backend=words.backend))
    options = SamplingOptions(batch_size=default_batch_size(checkpoint, "cpu"))
    rule = AtRadius(words.radius, max_n=MOST_DRAWS)
    smoothing = SmoothingSpec(sigma=SIGMA, n=MOST_DRAWS, n0=rule.usual_n0(sigma=SIGMA), stopping=rule)
    run = certification_run(checkpoint, task, smoothing=smoothing, base=timed, options=options, seed=0)
    sources: dict[str, LabelledImages] = {
        "from JPEG files": task.test,
        "from memory": cropped(task.test, checkpoint.spec.preprocessing),
    }
    rounds: dict[str, list[dict[str, float]]] = {name: [] for name in sources}
    for number in range(words.rounds + 1):
        for name, images in sources.items():
            log, timed.seconds, started = folder / f"{name}-{number}.tsv", 0.0, time.perf_counter()
            rows = certify_images(
                run, timed, images, range(len(images)), output=log, options=options, console=Console(quiet=True)
            )
            seconds = time.perf_counter() - started
            if number > 0:
                rounds[name].append({"seconds": seconds, "outside the network": 1 - timed.seconds / seconds})
    median = {
        name: {key: statistics.median(row[key] for row in rows_of) for key in rows_of[0]}
        for name, rows_of in rounds.items()
    }
    ratio = statistics.median(
        files["seconds"] / memory["seconds"] for files, memory in zip(*rounds.values(), strict=True)
    )
    return {
        "backend": timed.name,
        "draws per image": statistics.fmean(row.provenance.n + row.provenance.n0 for row in rows if row.provenance),
        "median": median,
        "time of files by time from memory": ratio,
        "every round": rounds,
    }


def cropped(images: LabelledImages, preprocessing: Preprocessing) -> InMemory:
    pixels = [to_bytes_CHW(images[index], preprocessing) for index in range(len(images))]
    return InMemory([Image.fromarray(x_CHW.permute(1, 2, 0).numpy()) for x_CHW in pixels], list(images.labels))


def print_table(results: dict[str, Any]) -> None:
    table = Table("", "seconds", "outside the network")
    for name, row in results["median"].items():
        table.add_row(name, f"{row['seconds']:.1f}", f"{100 * row['outside the network']:.1f} %")
    console = Console(file=sys.stderr)
    console.print(table)
    console.print(
        f"{results['draws per image']:.0f} draws per image; the files take "
        f"{results['time of files by time from memory']:.3f} times the time from memory"
    )


if __name__ == "__main__":
    torch.manual_seed(0)
    main()
