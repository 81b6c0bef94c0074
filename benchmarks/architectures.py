"""Checks networks of five families of timm from training to a server: `python -m benchmarks.architectures [NAME...]`.

Each network is trained for a few steps on digits, certified, exported to ONNX, loaded by timm, and served.

- timm's logits for the checkpoint are those of this project.
- The exported network's logits agree with PyTorch's within the tolerance of `zoo export`, for several batch sizes.
- The counts of a certificate are identical for every packing of its draws, on PyTorch and on ONNX Runtime.
- The server's counts for a seed are the offline ones.

Prints one line per check. Exits with 1 if a check fails. Takes about ten minutes on two cores.
"""

from __future__ import annotations

import argparse
import io
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import timm
import torch
from rich.console import Console
from torch import Tensor

from serving.client import Client
from training.objectives.gaussian import Gaussian
from training.recipe import override
from training.recipes import quick
from training.run import TrainingRun
from training.tasks import Task, open_task
from training.trainer import train
from zoo.checkpoints.checkpoint import Checkpoint
from zoo.export.checkpoint_export import export_checkpoint
from zoo.loading.backend import open_backend
from zoo.models.preprocessing import prepare
from zoo.smoothing import (
    BaseClassifier,
    Certificate,
    Certification,
    CertificationEngine,
    NoiseKey,
    NoisySampler,
    SamplingOptions,
    SmoothedClassifier,
    SmoothingSpec,
)

NAMES = ("resnet26d", "tf_efficientnet_lite0", "convnext_atto", "mobilenetv3_small_100", "vit_tiny_patch16_224")
QUICK = ("epochs=1", "batch_size=16", "limit_per_class=8")
SIGMA, N0, N, SEED = 0.25, 10, 60, 5
NUM_IMAGES, BATCH_SIZE = 3, 16
DRAWS_PER_STEP = (None, 7, 50)
"""None is a full batch."""


class Finding(NamedTuple):
    """The result of one check of one network."""

    network: str
    check: str
    passed: bool


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(NAMES), metavar="NAME", help="networks of timm")
    parser.add_argument("--image-size", type=int, default=32, help="height and width of the images in pixels")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        findings = []
        for finding in findings_of(options.names, Path(folder), size=options.image_size):
            print(f"{finding.network}: {finding.check}: {'passed' if finding.passed else 'FAILED'}", flush=True)
            findings.append(finding)
    if not all(finding.passed for finding in findings):
        sys.exit("a check failed")


def findings_of(names: list[str], folder: Path, *, size: int) -> Iterator[Finding]:
    """The results of all checks of the named networks of timm."""
    task = open_task("digits", data_dir=folder)
    checkpoints = {name: trained(name, task, folder / name, size=size) for name in names}
    for name, checkpoint in checkpoints.items():
        yield Finding(name, "timm's logits", has_timms_logits(checkpoint))
        exported = export_checkpoint(checkpoint)  # raises if the logits differ
        yield Finding(name, f"export, parity {max(each.relative_difference for each in exported.parities):.0e}", True)
        for backend in ("torch", "onnx"):
            base = open_backend(checkpoint, backend=backend)
            counts = [counts_of(base, checkpoint, task, draws_per_step=draws) for draws in DRAWS_PER_STEP]
            apart = [counts_of(base, checkpoint, task, images=[image])[0] for image in range(NUM_IMAGES)]
            same = all(each == apart for each in counts)
            yield Finding(name, f"counts over packings on {base.name}, {apart}", same)
    with served([checkpoint.path for checkpoint in checkpoints.values()]) as urls:
        for (name, checkpoint), url in zip(checkpoints.items(), urls, strict=True):
            yield Finding(name, "the server's counts", has_the_servers_counts(checkpoint, task, url))


def trained(name: str, task: Task, output: Path, *, size: int) -> Checkpoint:
    """A checkpoint after five steps of training with Gaussian noise on digits."""
    recipe = override(quick(Gaussian(sigma=SIGMA)), [*QUICK, f"architecture={name}", f"image_size={size}"])
    run = TrainingRun(task=task, recipe=recipe, seed=0, output=output)
    return train(run, device=torch.device("cpu"), resume=False, console=Console(quiet=True))


def has_timms_logits(checkpoint: Checkpoint) -> bool:
    """Whether timm, given only the directory, computes the logits of this project."""
    size, preprocessing = checkpoint.spec.preprocessing.crop, checkpoint.spec.preprocessing
    x_BCHW = torch.rand(4, 3, size, size, generator=torch.Generator().manual_seed(0))
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (preprocessing.mean, preprocessing.std))
    theirs = timm.create_model(f"local-dir:{checkpoint.path}", pretrained=True).eval()
    with torch.inference_mode():
        return torch.equal(theirs((x_BCHW - mean) / std), checkpoint.load_network()(x_BCHW))


def counts_of(
    base: BaseClassifier,
    checkpoint: Checkpoint,
    task: Task,
    *,
    draws_per_step: int | None = None,
    images: list[int] | None = None,
) -> list[tuple[int | None, int]]:
    """The label and the count of each image's certificate, with all images in one engine."""
    engine = CertificationEngine(NoisySampler(base, SamplingOptions(batch_size=BATCH_SIZE)))
    images = list(range(NUM_IMAGES)) if images is None else images
    for image in images:
        key = NoiseKey(root=SEED, job=image)
        engine.admit(Certification(image, pixels(checkpoint, task, image), smoothing=smoothing(), key=key, input=""))
    done: dict[object, tuple[int | None, int]] = {}
    while engine.num_open:
        for finished in engine.step(draws_per_step):
            assert isinstance(finished.result, Certificate)
            done[finished.id] = finished.result.label, finished.result.count_a
    return [done[image] for image in images]


def has_the_servers_counts(checkpoint: Checkpoint, task: Task, url: str) -> bool:
    """Whether the server and the offline classifier certify the first image alike for one seed."""
    picture = io.BytesIO()
    task.test[0].save(picture, format="PNG")
    with Client(url) as client:
        answer = client.certify(picture.getvalue(), seed=SEED, n=N, n0=N0, alpha=smoothing().alpha)
    g = SmoothedClassifier(
        open_backend(checkpoint), num_classes=checkpoint.spec.num_classes, smoothing=smoothing(), batch_size=BATCH_SIZE
    )
    expected = g.certify(pixels(checkpoint, task, 0), generator=torch.Generator().manual_seed(SEED))
    certificate = answer.certificate
    return certificate is not None and (answer.label, certificate.count_a) == (expected.label, expected.count_a)


def pixels(checkpoint: Checkpoint, task: Task, image: int) -> Tensor:
    """A test image as `x_CHW`."""
    return prepare(task.test[image], checkpoint.spec.preprocessing)


def smoothing() -> SmoothingSpec:
    """The parameters of every certificate."""
    return SmoothingSpec(sigma=SIGMA, n0=N0, n=N)


@contextmanager
def served(models: list[Path]) -> Iterator[list[str]]:
    """Serves the models with `zoo serve` inside the block; yields their prediction URLs in order."""
    words = [sys.executable, "-m", "zoo", "serve", *map(str, models), "--port", "0", "--limit", "allows_seed=true"]
    server = subprocess.Popen([*words, "--threads", "1", "--device", "cpu"], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        lines = [server.stdout.readline() for _ in models]
        if not all(line.startswith("ready:") for line in lines):
            sys.exit("zoo serve did not become ready")
        yield [line.split()[-1] for line in lines]
    finally:
        server.terminate()
        server.wait(timeout=120)


if __name__ == "__main__":
    main()
