"""Compares ImageNet weights with random weights on few labels: `python -m benchmarks.few_labels --output DIR`.

    python -m benchmarks.few_labels --output runs/few-labels --data-dir DIR   # the stamps: docs/reference/tasks.md

The task is tuxpaint: stamps of six classes, many of them photographs. Both networks are EfficientNet-Lite0, trained by
the recipe few-labels with consistency at sigma 0.25 for the same number of steps, on at most 20 labels per class, at
160 pixels. Three seeds choose labels, noise and random weights. Every test image is certified at radius 0.25 by
`--stopping at-radius`.

Reports the mean per-class certified accuracy of both, and their difference with a 95 % bootstrap interval over seeds
and over the images of each class. Exits with 1 unless the difference is at least 20 points and its interval above 0.
Finished runs in DIR are not repeated. Takes about an hour on two cores.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.zoo_commands import certify, train
from training.tasks import open_task
from zoo.results.balanced_accuracy import majority_baseline
from zoo.results.log import CertificationRow

TASK, SIGMA, RADIUS, LABELS_PER_CLASS = "tuxpaint", 0.25, 0.25, 20
IMAGENET, RANDOM = "efficientnet_lite0.imagenet", "random"
LEAST_LEAD = 0.20
NUM_RESAMPLES, RESAMPLING_SEED = 10_000, 0
Holds = npt.NDArray[np.bool_]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, metavar="DIR")
    parser.add_argument("--data-dir", type=Path, default=Path("data"), metavar="DIR")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--image-size", type=int, default=160, help="side of the network's input in pixels")
    parser.add_argument("--max-draws", type=int, default=1000, help="draws per test image at most")
    words = parser.parse_args()
    rows = {start: [certified(words, start, seed) for seed in range(words.seeds)] for start in (IMAGENET, RANDOM)}
    report = report_of(rows, open_task(TASK, data_dir=words.data_dir).class_names)
    (words.output / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))
    if report["lead"] < LEAST_LEAD or report["lead_interval"][0] <= 0:
        sys.exit(f"the lead is {report['lead']:.3f}, expected at least {LEAST_LEAD} with an interval above 0")


def certified(words: argparse.Namespace, start: str, seed: int) -> list[CertificationRow]:
    """The rows of all test images for the network that started from `start`."""
    common = ["--task", TASK, "--data-dir", words.data_dir]
    output = words.output / f"{start}-{seed}"
    recipe = ["--recipe", "few-labels", "--architecture", "tf_efficientnet_lite0", "--objective", "consistency"]
    labels = ["--sigma", SIGMA, "--limit-per-class", LABELS_PER_CLASS, "--seed", seed]
    size = ["--set", f"image_size={words.image_size}"]
    train(output, *common, *recipe, *labels, *size, "--init", start)
    rule = ["--stopping", "at-radius", "--radius", RADIUS, "--n", words.max_draws]
    return certify(output, *common, *rule)


def report_of(rows: dict[str, list[list[CertificationRow]]], class_names: tuple[str, ...]) -> dict[str, Any]:
    """Mean per-class certified accuracies of both starts, by seed and together, and the paired difference."""
    runs = [run for runs in rows.values() for run in runs]
    assert len({tuple((row.idx, row.label) for row in run) for run in runs}) == 1, "the same images"
    labels = [row.label for row in runs[0]]
    holds = {
        start: np.array([[row.correct and row.radius >= RADIUS for row in run] for run in runs])
        for start, runs in rows.items()
    }
    labels_N = np.array(labels)
    majority, baseline = majority_baseline(labels)
    differences_SN = holds[IMAGENET].astype(float) - holds[RANDOM].astype(float)
    return {
        "test_images": {class_names[label]: count for label, count in sorted(Counter(labels).items())},
        "majority_baseline": {
            "class": class_names[majority],
            "accuracy": baseline,
            "mean_per_class": 1 / len(class_names),
        },
        "radius": RADIUS,
        "mean_per_class_certified_accuracy": {
            start: {"mean": mean_per_class(own, labels_N), "seeds": [mean_per_class(run, labels_N) for run in own]}
            for start, own in holds.items()
        },
        "certified_accuracy": {start: float(own.mean()) for start, own in holds.items()},
        "mean_draws": {start: mean_draws(own) for start, own in rows.items()},
        "lead": mean_per_class(differences_SN, labels_N),
        "lead_interval": lead_interval(differences_SN, labels_N),
    }


def mean_per_class(values: Holds | npt.NDArray[np.float64], labels_N: npt.NDArray[np.int64]) -> float:
    """The mean over classes of the mean value of the class's images; values `(N,)` or `(S, N)` for S seeds."""
    return float(np.mean([values[..., labels_N == label].mean() for label in np.unique(labels_N)]))


def lead_interval(differences_SN: npt.NDArray[np.float64], labels_N: npt.NDArray[np.int64]) -> tuple[float, float]:
    """The 95 % percentile bootstrap of the mean per class: seeds, and the images of each class, are drawn again."""
    rng = np.random.default_rng(RESAMPLING_SEED)
    num_seeds = len(differences_SN)
    columns = [np.flatnonzero(labels_N == label) for label in np.unique(labels_N)]
    leads = []
    for _ in range(NUM_RESAMPLES):
        seeds = rng.integers(num_seeds, size=num_seeds)
        classes = (differences_SN[np.ix_(seeds, rng.choice(column, size=len(column)))].mean() for column in columns)
        leads.append(np.mean(list(classes)))
    low, high = np.percentile(leads, [2.5, 97.5])
    return float(low), float(high)


def mean_draws(runs: list[list[CertificationRow]]) -> float:
    """The mean number of draws per image, without those that select the class."""
    return float(np.mean([row.provenance.n for run in runs for row in run if row.provenance is not None]))


if __name__ == "__main__":
    main()
