"""Compares the two fits, crop and pad, on a task of pictures of any aspect: accuracy under noise per class.

    python -m benchmarks.fit --task imagefolder:PICTURES
    python -m benchmarks.fit --task imagefolder:PICTURES --size 96 --seeds 5 --set epochs=40

For every seed it trains one network per fit with the same recipe, starting weights and order of pictures. It then
classifies every test picture under the same noise, `--draws` times. The accuracy is the mean over the classes of the
share of right classifications. The difference is taken per test picture and averaged over the seeds; its 95 % interval
is over the test pictures of each class, for the seeds that ran. Finished runs in `--folder` are not repeated. Prints a
Markdown table.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from statistics import NormalDist

import numpy as np
import numpy.typing as npt
import torch
from rich.console import Console
from torch.utils.data import DataLoader

from training.commands.options import find_starting_point
from training.recipe import TrainingRecipe, override
from training.recipes import find_recipe
from training.run import TrainingRun
from training.streams import normal_per_image, stream
from training.tasks import Task, open_task
from training.tasks.loading import EvaluationImages
from training.trainer import train
from zoo.checkpoints.checkpoint import Checkpoint, open_checkpoint
from zoo.models.preprocessing import to_pixels
from zoo.smoothing.backends import evaluating

FITS = ("crop", "pad")
BATCH_SIZE = 128
Z = NormalDist().inv_cdf(0.975)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", required=True)
    parser.add_argument("--architecture", default="resnet18")
    parser.add_argument("--init", default="random")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--sigma", type=float, default=0.25)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--draws", type=int, default=8)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--data-dir", type=Path, default=Path("runs/data"))
    parser.add_argument("--folder", type=Path, default=Path("runs/fit"))
    arguments = parser.parse_args()
    task = open_task(arguments.task, data_dir=arguments.data_dir)
    accuracy = {
        fit: np.stack([measured(task, fit, seed, arguments) for seed in range(arguments.seeds)]) for fit in FITS
    }
    print(table(accuracy, np.asarray(task.test.labels)))


def measured(task: Task, fit: str, seed: int, arguments: argparse.Namespace) -> npt.NDArray[np.float64]:
    """Per test picture, the share of its noisy copies that one network classifies right."""
    output = arguments.folder / f"{task.name.replace(':', '-')}-{fit}-s{seed}"
    if (output / ".run" / "finished").exists():
        checkpoint = open_checkpoint(output)
    else:
        settings = [f"architecture={arguments.architecture}", f"image_size={arguments.size}", f"fit={fit}"]
        settings += [f"objective.sigma={arguments.sigma}", *arguments.set]
        recipe: TrainingRecipe = override(find_recipe("quick", objective="gaussian"), settings)
        parent = find_starting_point(arguments.init)
        run = TrainingRun(task=task, recipe=recipe, seed=seed, output=output, parent=parent)
        started = (output / ".run" / "state.pt").exists()
        checkpoint = train(run, device=torch.device("cpu"), resume=started, console=Console(quiet=True))
        (output / ".run" / "finished").touch()
    return shares_right(checkpoint, task, sigma=arguments.sigma, draws=arguments.draws)


def shares_right(checkpoint: Checkpoint, task: Task, *, sigma: float, draws: int) -> npt.NDArray[np.float64]:
    """Per test picture, the share of `draws` noisy copies that the network classifies right."""
    network, images = checkpoint.load_network(), EvaluationImages(task.test, checkpoint.spec.preprocessing)
    shares: list[float] = []
    with evaluating(network), torch.inference_mode():
        for x_bytes, labels_B in DataLoader(images, batch_size=BATCH_SIZE):
            x_BCHW, right_B = to_pixels(x_bytes), torch.zeros(len(labels_B))
            numbers_B = torch.arange(len(shares), len(shares) + len(labels_B))
            for draw in range(draws):
                noise_BCHW = normal_per_image(x_BCHW, numbers_B, stream(0, "fit-noise", draw))
                right_B += network(x_BCHW + sigma * noise_BCHW).argmax(dim=1) == labels_B
            shares += (right_B / draws).tolist()
    return np.asarray(shares)


def table(accuracy: dict[str, npt.NDArray[np.float64]], labels: npt.NDArray[np.int64]) -> str:
    """The Markdown table; `accuracy` has one row per seed and one column per test picture."""
    rows = ["| fit | mean per class under noise | per seed |", "|---|---|---|"]
    for fit in FITS:
        seeds = [class_mean(one, labels)[0] for one in accuracy[fit]]
        rows.append(f"| {fit} | {100 * np.mean(seeds):.1f} % | {', '.join(f'{100 * one:.1f}' for one in seeds)} |")
    difference, error = class_mean((accuracy["pad"] - accuracy["crop"]).mean(axis=0), labels)
    low, high = 100 * (difference - Z * error), 100 * (difference + Z * error)
    rows.append(f"| pad - crop | {100 * difference:+.1f} ({low:+.1f} to {high:+.1f}) points | |")
    counts = sorted(Counter(labels.tolist()).values())
    return "\n".join([*rows, "", f"{len(labels)} test pictures, {counts[0]} to {counts[-1]} per class."])


def class_mean(values: npt.NDArray[np.float64], labels: npt.NDArray[np.int64]) -> tuple[float, float]:
    """The mean over the classes of the classes' means, and its standard error over the pictures of each class."""
    groups = [values[labels == label] for label in np.unique(labels)]
    variance = sum(group.var(ddof=1) / len(group) if len(group) > 1 else 0.25 for group in groups)
    return float(np.mean([group.mean() for group in groups])), float(np.sqrt(variance)) / len(groups)


if __name__ == "__main__":
    main()
