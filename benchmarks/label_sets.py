"""Coverage and size of robust label sets, unchanged and under attack: `python -m benchmarks.label_sets CHECKPOINT`.

    zoo train --task fashion-mnist --objective consistency --architecture resnet10-quarter --set epochs=5 \\
        --set batch_size=64 --set optimizer.lr=0.04 --output runs/label_sets   # sigma 0.5; a few minutes on two cores
    python -m benchmarks.label_sets runs/label_sets

Calibrates a copy of the checkpoint on half of the test images. On other test images, each with one draw, it compares
the calibrated sets with uncorrected ones, whose threshold is that of radius 0 from the same scores. The attack is PGD
that raises the score of the true class (it lowers the class's probability), averaged over fresh draws in every step.
The drawn noise of the sets is not the attack's. Then a server answers the images one after another, for the latency.

Exits with 1 unless the calibrated sets keep their coverage, within its 95 % interval, unchanged and under attack, at a
mean size of at most 3, and the uncorrected sets lose it under attack. `--tiny` runs every part on few images with a few
steps, as a test of the script: its figures mean nothing, and it does not fail for them.
"""

from __future__ import annotations

import argparse
import io
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.machine import machine
from serving.client import Client
from serving.protocol import Limits
from serving.server.archive import make_archive
from serving.torchserve import TorchServe
from training.attacks import pgd, under_attack
from training.attacks.perturbations import strictly_inside
from training.evaluation.calibration import calibrate, plan_calibration
from training.streams import derived_seed, normal_per_image, stream
from training.tasks import Task, open_task
from training.threat import ThreatModel
from zoo.checkpoints.checkpoint import Checkpoint, open_checkpoint
from zoo.checkpoints.writing import record_calibration
from zoo.loading.backend import default_batch_size, open_backend
from zoo.models.preprocessing import prepare
from zoo.results.calibration import Calibration
from zoo.results.summary import binomial_interval
from zoo.smoothing import NoiseKey, NoisySampler, SamplingOptions
from zoo.smoothing.conformal import calibrated_threshold
from zoo.smoothing.jobs import checked_pixels
from zoo.smoothing.label_set import Scores, label_scores, labels_within, one_draw

LARGEST_MEAN_SIZE = 3.0
COPIES_PER_PASS = 1024


@dataclass(frozen=True, kw_only=True)
class Sets:
    """Coverage and mean size of the sets of some images; the interval is at 95 % over images."""

    coverage: float
    interval: tuple[float, float]
    mean_size: float
    empty: int

    @classmethod
    def of(cls, scores: Sequence[Scores], labels: Sequence[int], threshold: float) -> Sets:
        sets = [labels_within(scores_K, threshold) for scores_K in scores]
        covered = sum(label in found for found, label in zip(sets, labels, strict=True))
        sizes = [len(found) for found in sets]
        return cls(
            coverage=covered / len(sets),
            interval=binomial_interval(covered, len(sets)),
            mean_size=statistics.mean(sizes),
            empty=sizes.count(0),
        )


def main() -> None:
    options = parsed_options()
    task = open_task(options.task, data_dir=options.data_dir)
    with tempfile.TemporaryDirectory() as folder:
        copied = shutil.copytree(options.checkpoint, Path(folder) / "model", ignore=shutil.ignore_patterns(".run"))
        checkpoint = open_checkpoint(copied)
        calibration, others = calibrated(checkpoint, task, options)
        checkpoint = record_calibration(checkpoint, calibration)
        numbers = others[: options.images]
        results: dict[str, Any] = {
            "machine": machine(),
            "calibration": calibration.result().model_dump(mode="json"),
            **measure(checkpoint, task, calibration, numbers, options),
            "latency": latency(checkpoint, task, numbers[: options.requests]),
        }
    failures = shortcomings(results, 1 - options.alpha)
    results["failures"] = failures
    print(json.dumps(results, indent=2))
    print(table(results), file=sys.stderr)
    if failures and not options.tiny:
        sys.exit("; ".join(failures))


def parsed_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--task", default="fashion-mnist")
    parser.add_argument("--data-dir", type=Path, default=Path("~/.cache/certified-zoo/data").expanduser())
    parser.add_argument("--radius", type=float, default=0.25)
    parser.add_argument("--alpha", type=float, default=0.1)
    parser.add_argument("--calibration-images", type=int, default=None, help="half of the test images by default")
    parser.add_argument("--images", type=int, default=500, help="images that are attacked")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--noise-samples", type=int, default=16, help="fresh draws per image and step of the attack")
    parser.add_argument("--requests", type=int, default=200, help="requests to the server, one after another")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tiny", action="store_true")
    options = parser.parse_args()
    if options.tiny:
        options.images, options.steps, options.noise_samples, options.requests = 8, 2, 2, 4
    return options


def calibrated(checkpoint: Checkpoint, task: Task, options: argparse.Namespace) -> tuple[Calibration, list[int]]:
    """The calibration, and random other test images."""
    plan = plan_calibration(
        checkpoint,
        task,
        radius=options.radius,
        alpha=options.alpha,
        noise="gaussian",
        num_images=options.calibration_images,
        seed=options.seed,
    )
    base, sampling = open_backend(checkpoint), SamplingOptions(batch_size=default_batch_size(checkpoint, "cpu"))
    calibration = calibrate(plan, base, options=sampling, console=Console(stderr=True))
    order = torch.randperm(len(plan.others), generator=stream(options.seed, "attacked-images"))
    return calibration, [plan.others[index] for index in order.tolist()]


def measure(
    checkpoint: Checkpoint, task: Task, calibration: Calibration, numbers: Sequence[int], options: argparse.Namespace
) -> dict[str, Any]:
    """The sets of the images, unchanged and attacked, with and without the correction for changes."""
    x_BCHW = torch.stack([prepare(task.test[number], checkpoint.spec.preprocessing) for number in numbers])
    labels = [task.test.labels[number] for number in numbers]
    started = time.monotonic()
    attacked_BCHW = attacked(checkpoint.load_network(), x_BCHW, torch.tensor(labels), numbers, calibration, options)
    seconds = time.monotonic() - started
    sampler = NoisySampler(open_backend(checkpoint), SamplingOptions(batch_size=default_batch_size(checkpoint, "cpu")))
    uncorrected = calibrated_threshold(calibration.scores, alpha=calibration.alpha, radius=0.0, sigma=calibration.sigma)
    results: dict[str, Any] = {"attack_seconds": round(seconds, 1), "uncorrected_threshold": uncorrected}
    for name, images_BCHW in (("unchanged", x_BCHW), ("attacked", attacked_BCHW)):
        root = derived_seed(options.seed, "measured-sets", name)
        scores = drawn_scores(sampler, images_BCHW, numbers, sigma=calibration.sigma, root=root)
        results[name] = {
            "calibrated": asdict(Sets.of(scores, labels, calibration.threshold)),
            "uncorrected": asdict(Sets.of(scores, labels, uncorrected)),
            "mean_score": float(np.mean([scores_K[label] for scores_K, label in zip(scores, labels, strict=True)])),
        }
    change_B = (attacked_BCHW.double() - x_BCHW.double()).flatten(1).norm(dim=1)
    results["changes"] = {"mean": float(change_B.mean()), "largest": float(change_B.max())}
    return results


def attacked(
    network: nn.Module,
    x_BCHW: Tensor,
    labels_B: Tensor,
    numbers: Sequence[int],
    calibration: Calibration,
    options: argparse.Namespace,
) -> Tensor:
    """The images after PGD on the mean score of the true class, over fresh draws in every step."""
    threat = ThreatModel(epsilon=calibration.radius)
    generator = stream(options.seed, "label-set-attack")
    size = max(1, COPIES_PER_PASS // options.noise_samples)
    changed = []
    with under_attack(network) as target:
        for start in range(0, len(x_BCHW), size):
            center_BCHW, own_B = x_BCHW[start : start + size], labels_B[start : start + size]
            numbers_B = torch.tensor(numbers[start : start + size])

            def mean_score(iterate_BCHW: Tensor, own_B: Tensor = own_B, numbers_B: Tensor = numbers_B) -> Tensor:
                draws = [normal_per_image(iterate_BCHW, numbers_B, generator) for _ in range(options.noise_samples)]
                noisy_MBCHW = iterate_BCHW + calibration.sigma * torch.stack(draws)
                logits_NK = target(noisy_MBCHW.flatten(0, 1))
                repeated_N = own_B.repeat(options.noise_samples)
                scores_N = F.cross_entropy(logits_NK, repeated_N, reduction="none")
                return scores_N.view(options.noise_samples, -1).mean(dim=0)

            step_size = 2.5 * threat.epsilon / options.steps
            found_BCHW = pgd(mean_score, center_BCHW, threat=threat, num_steps=options.steps, step_size=step_size)
            changed.append(strictly_inside(found_BCHW, center_BCHW, threat))
    return torch.cat(changed)


def drawn_scores(
    sampler: NoisySampler, x_BCHW: Tensor, numbers: Sequence[int], *, sigma: float, root: int
) -> list[Scores]:
    """`scores_K` of each image from one draw."""
    draws = [
        one_draw(checked_pixels(x_CHW), sigma=sigma, noise="gaussian", key=NoiseKey(root=root, job=number))
        for x_CHW, number in zip(x_BCHW, numbers, strict=True)
    ]
    return [label_scores(logits_MK)[0] for logits_MK in sampler.votes(draws)]


def latency(checkpoint: Checkpoint, task: Task, numbers: Sequence[int]) -> dict[str, float]:
    """Milliseconds per request for a set from `zoo serve`'s server, one request after another."""
    milliseconds = []
    with tempfile.TemporaryDirectory() as store:
        archive = make_archive(checkpoint, Path(store), limits=Limits(), device="cpu")
        with TorchServe([archive]) as server, Client(server.prediction_url(archive)) as client:
            for number in (*numbers[:10], *numbers):  # the first ten warm up
                buffer = io.BytesIO()
                task.test[number].save(buffer, format="PNG")
                started = time.monotonic()
                client.label_set(buffer.getvalue())
                milliseconds.append(1000 * (time.monotonic() - started))
    measured = milliseconds[min(10, len(numbers)) :]
    return {"requests": len(measured), "median_ms": statistics.median(measured), "max_ms": max(measured)}


def shortcomings(results: dict[str, Any], level: float) -> list[str]:
    """One sentence per figure that misses its goal."""
    found = []
    for name in ("unchanged", "attacked"):
        sets = results[name]["calibrated"]
        if sets["interval"][1] < level:
            found.append(f"{name}: coverage {sets['coverage']:.3f} is below {level:g}")
        if sets["mean_size"] > LARGEST_MEAN_SIZE:
            found.append(f"{name}: mean size {sets['mean_size']:.2f} is above {LARGEST_MEAN_SIZE:g}")
    control = results["attacked"]["uncorrected"]
    if control["interval"][1] >= level:
        found.append(f"the uncorrected sets keep coverage {control['coverage']:.3f} under the attack: it is too weak")
    return found


def table(results: dict[str, Any]) -> str:
    lines = ["| images | sets | coverage (95 % interval) | mean size | empty |", "|---|---|---|---|---|"]
    for name in ("unchanged", "attacked"):
        for kind in ("calibrated", "uncorrected"):
            sets = results[name][kind]
            low, high = sets["interval"]
            share = f"{100 * sets['coverage']:.1f} % ({100 * low:.1f} to {100 * high:.1f})"
            lines.append(f"| {name} | {kind} | {share} | {sets['mean_size']:.2f} | {sets['empty']} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
