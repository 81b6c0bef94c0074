"""Compares the trainer's images per second with a plain eager loop, and measures the trainer's overhead.

    python -m benchmarks.training --size 32 --architecture resnet10-quarter --batch-size 32 --rounds 7
    python -m benchmarks.training --size 224 --architecture resnet50 --batch-size 32 --rounds 3

For consistency (m = 2) and adversarial training (PGD-3, l2, the iterate of the highest loss), the trainer runs its
epochs over JPEG pictures of 500x375 on disk: decoding, augmentation, noise keyed by image, the finite check, clipping,
the log. The plain loop is a handwritten one: the same augmentation of the same files, `randn_like`, the same losses and
attack, `loss.backward()`, SGD, without checks, clipping or a log. Both run in turn in every round; figures are medians
over rounds, ratios are taken within a round. The forward passes (including the attack's), the backward passes and the
optimizer's steps are timed inside the trainer. Its overhead is the remaining time.

Prints a table to stderr and JSON to stdout.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn import functional as F

from training import trainer
from training.distributed import SINGLE_PROCESS
from training.metric_logger import MetricLogger
from training.objectives import Objective
from training.objectives.adversarial import Adversarial
from training.objectives.consistency import Consistency
from training.recipe import Sgd, TrainingRecipe
from training.run import TrainingRun
from training.run_folder import RunFolder
from training.tasks import open_task
from training.tasks.loading import augmenting_transform
from zoo.models.architecture import build_network
from zoo.models.spec import Preprocessing

OBJECTIVES: dict[str, Objective] = {"consistency": Consistency(), "adversarial": Adversarial()}
NUM_CLASSES = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--architecture", default="resnet10-quarter")
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--steps", type=int, default=2, help="steps per round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = write_pictures(Path(temporary) / "pictures", arguments.steps * arguments.batch_size)
        results = [compare(name, folder, Path(temporary) / name, arguments) for name in OBJECTIVES]
    print_table(results, arguments)
    print(json.dumps({**vars(arguments), "torch": torch.__version__, "results": results}, indent=2))


def write_pictures(folder: Path, count: int, num_test: int = NUM_CLASSES) -> Path:
    """An image folder of two classes, with `count` training and `num_test` test pictures of ImageNet's average size."""
    rng = np.random.default_rng(0)
    for split, number in (("train", count), ("test", num_test)):
        for index in range(number):
            path = folder / split / str(index % NUM_CLASSES) / f"{index}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            coarse = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8))
            coarse.resize((500, 375), Image.Resampling.BICUBIC).save(path, quality=90)
    return folder


def compare(name: str, folder: Path, output: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Rates, ratio and overhead of the trainer and the plain loop, which run in turn."""
    device = torch.device(arguments.device)
    ours = Ours(OBJECTIVES[name], folder, output, arguments, device)
    plain = PlainLoop(name, folder, arguments, device)
    rounds = []
    for number in range(arguments.rounds + 1):
        times = {"plain": plain.epoch(), **ours.epoch()}
        if number > 0:  # the first round is a warm-up
            rounds.append(times)
    images = arguments.steps * arguments.batch_size
    return {
        "objective": name,
        "plain_images_per_second": statistics.median(images / times["plain"] for times in rounds),
        "ours_images_per_second": statistics.median(images / times["ours"] for times in rounds),
        "ratio": statistics.median(times["plain"] / times["ours"] for times in rounds),
        "ratio_range": [f(times["plain"] / times["ours"] for times in rounds) for f in (min, max)],
        "overhead": statistics.median(1 - times["network"] / times["ours"] for times in rounds),
        "overhead_range": [f(1 - times["network"] / times["ours"] for times in rounds) for f in (min, max)],
    }


@dataclass
class Stopwatch:
    """Seconds inside the wrapped functions; nested calls are counted once."""

    device: torch.device
    seconds: float = 0.0
    _depth: int = field(default=0)

    @contextmanager
    def running(self) -> Iterator[None]:
        self._depth += 1
        started = self._now()
        try:
            yield
        finally:
            self._depth -= 1
            if self._depth == 0:
                self.seconds += self._now() - started

    def wrap(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*words: Any, **named: Any) -> Any:
            with self.running():
                return function(*words, **named)

        return timed

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()


class Ours:
    """The trainer's own loop, one epoch per call."""

    def __init__(
        self, objective: Objective, folder: Path, output: Path, arguments: argparse.Namespace, device: torch.device
    ) -> None:
        recipe = TrainingRecipe(
            objective=objective,
            architecture=arguments.architecture,
            batch_size=arguments.batch_size,
            optimizer=Sgd(lr=0.01),
            gradient_clip_norm=10.0,
            validation_share=0.0,
            image_size=arguments.size,
            precision="float32",
            epochs=10_000,
        )
        task = open_task(f"imagefolder:{folder}", data_dir=folder)
        run = TrainingRun(task=task, recipe=recipe, seed=0, output=output)
        run_folder = RunFolder(output / ".run")
        run_folder.begin(run.identity(SINGLE_PROCESS), device=device)
        self.loop = trainer._Loop(run, run_folder, device, SINGLE_PROCESS)
        self.loop.prepare(None)
        self.logger = MetricLogger(run_folder.path, steps_done=0)
        self.watch = Stopwatch(device)
        optimization = self.loop.optimization
        self.loop.network.forward = self.watch.wrap(self.loop.network.forward)  # type: ignore[method-assign]
        optimization.accelerator.backward = self.watch.wrap(optimization.accelerator.backward)
        optimization.optimizer.step = self.watch.wrap(optimization.optimizer.step)

    def epoch(self) -> dict[str, float]:
        self.watch.seconds = 0.0
        real = torch.autograd.grad
        torch.autograd.grad = self.watch.wrap(real)  # an attack's backward passes
        started = time.perf_counter()
        try:
            list(self.loop._run_epoch(self.logger, lambda loss: None))
        finally:
            torch.autograd.grad = real
        return {"ours": time.perf_counter() - started, "network": self.watch.seconds}


class PlainLoop:
    """A handwritten loop without checks, clipping or a log."""

    def __init__(self, name: str, folder: Path, arguments: argparse.Namespace, device: torch.device) -> None:
        preprocessing = Preprocessing(resize=arguments.size * 256 // 224, crop=arguments.size)
        self.network = build_network(arguments.architecture, num_classes=NUM_CLASSES, preprocessing=preprocessing)
        self.network.to(device)
        self.transform = augmenting_transform("resized-crop-flip", preprocessing)
        self.paths = sorted((folder / "train").glob("*/*.jpg"))
        self.optimizer = torch.optim.SGD(self.network.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
        self.loss_of = consistency if name == "consistency" else adversarial
        self.batch_size, self.device = arguments.batch_size, device

    def epoch(self) -> float:
        """Seconds of one epoch."""
        started = time.perf_counter()
        self.network.train()
        order = torch.randperm(len(self.paths)).tolist()
        for start in range(0, len(order), self.batch_size):
            paths = [self.paths[index] for index in order[start : start + self.batch_size]]
            pictures = [self.transform(Image.open(path).convert("RGB")) for path in paths]
            x_BCHW = (torch.stack(pictures).float() / 255).to(self.device)
            labels_B = torch.tensor([int(path.parent.name) for path in paths], device=self.device)
            loss = self.loss_of(self.network, x_BCHW, labels_B)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - started


def consistency(network: nn.Module, x_BCHW: Tensor, labels_B: Tensor) -> Tensor:
    """The consistency loss at sigma 0.5, m 2, lambda 5, eta 0.5. Source: Jeong and Shin."""
    copies = torch.cat([x_BCHW + 0.5 * torch.randn_like(x_BCHW) for _ in range(2)])
    logits = network(copies)
    first, second = (F.softmax(part, dim=1) for part in logits.chunk(2))
    mean = (first + second) / 2
    log_mean = mean.clamp(min=1e-20).log()
    divergence = sum(F.kl_div(F.log_softmax(part, dim=1), mean, reduction="batchmean") for part in logits.chunk(2)) / 2
    entropy = -(mean * log_mean).sum(dim=1).mean()
    return F.cross_entropy(logits, labels_B.repeat(2)) + 5 * divergence + 0.5 * entropy


def adversarial(network: nn.Module, x_BCHW: Tensor, labels_B: Tensor) -> Tensor:
    """The cross-entropy at the iterate of the highest loss of PGD-3 in the l2 ball of radius 0.5."""
    network.eval()
    delta = torch.zeros_like(x_BCHW)
    best, best_loss = x_BCHW, torch.full((len(x_BCHW),), -torch.inf, device=x_BCHW.device)
    for step in range(4):
        tried = (x_BCHW + delta).requires_grad_()
        with torch.set_grad_enabled(step < 3):
            losses = F.cross_entropy(network(tried), labels_B, reduction="none")
        better = losses.detach() > best_loss
        best = torch.where(better.view(-1, 1, 1, 1), tried.detach(), best)
        best_loss = torch.where(better, losses.detach(), best_loss)
        if step < 3:
            (gradient,) = torch.autograd.grad(losses.sum(), tried)
            norms = gradient.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
            delta = delta + gradient / (norms + 1e-10) / 3
            delta = delta.renorm(p=2, dim=0, maxnorm=0.5)
            delta = (x_BCHW + delta).clamp(0, 1) - x_BCHW
    network.train()
    return F.cross_entropy(network(best), labels_B)


def print_table(results: list[dict[str, Any]], arguments: argparse.Namespace) -> None:
    table = Table(title=f"{arguments.architecture}, 3x{arguments.size}x{arguments.size}, batch {arguments.batch_size}")
    for head in ("objective", "plain loop, images/s", "trainer, images/s", "ratio", "overhead"):
        table.add_column(head)
    for result in results:
        low, high = result["ratio_range"]
        table.add_row(
            result["objective"],
            f"{result['plain_images_per_second']:.2f}",
            f"{result['ours_images_per_second']:.2f}",
            f"{result['ratio']:.3f} ({low:.3f} to {high:.3f})",
            f"{result['overhead']:.1%} ({result['overhead_range'][0]:.1%} to {result['overhead_range'][1]:.1%})",
        )
    Console(file=sys.stderr).print(table)


if __name__ == "__main__":
    main()
