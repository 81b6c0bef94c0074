"""Part `startup` of `python -m benchmarks.serving`: seconds until a ResNet-50 with ONNX Runtime is READY."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from serving.protocol import Limits
from serving.server.archive import make_archive
from serving.torchserve import TorchServe
from zoo.checkpoints.checkpoint import Checkpoint
from zoo.checkpoints.writing import save_checkpoint
from zoo.models.architecture import build_network
from zoo.models.spec import CertifiedConfig, ModelSpec, Preprocessing


def startup(starts: int) -> dict[str, Any]:
    """Seconds until a ResNet-50 is READY, for four kinds of start, and their medians.

    `torchserve` starts TorchServe with a finished archive. `zoo serve, first` creates the archive and exports the
    network. `zoo serve, later` creates the archive from the export that an earlier start has cached, and so does
    `zoo serve --engine asgi`.
    """
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = resnet50(Path(folder) / "resnet50")
        archive = make_archive(checkpoint, Path(folder) / "store", limits=Limits(), device="cpu")
        measured = {
            "torchserve": [seconds_until_served(archive) for _ in range(starts)],
            "zoo serve, first": [
                seconds_until_ready(checkpoint.path, cache=Path(folder) / f"cache{number}") for number in range(starts)
            ],
            "zoo serve, later": [
                seconds_until_ready(checkpoint.path, cache=Path(folder) / "cache0") for _ in range(starts)
            ],
            "zoo serve --engine asgi, later": [
                seconds_until_ready(checkpoint.path, cache=Path(folder) / "cache0", engine="asgi")
                for _ in range(starts)
            ],
        }
    return {
        name: {"seconds": [round(seconds, 1) for seconds in times], "median": round(statistics.median(times), 1)}
        for name, times in measured.items()
    }


def seconds_until_served(archive: Path) -> float:
    started = time.monotonic()
    with TorchServe([archive]):
        return time.monotonic() - started


def resnet50(folder: Path) -> Checkpoint:
    """A checkpoint of a ResNet-50 at 224x224 with random weights, since only the time to start is measured."""
    certified = CertifiedConfig(
        objective="consistency",
        hyper_parameters={"sigma": 0.5},
        sigma=0.5,
        task="imagenet",
        class_names=tuple(str(label) for label in range(1000)),
        seed=0,
        epochs=0,
        recipe_digest="0" * 64,
        preprocessing=Preprocessing(resize=256, crop=224),
    )
    spec = ModelSpec(architecture="resnet50", num_classes=1000, certified=certified)
    torch.manual_seed(0)
    network = build_network("resnet50", num_classes=1000, preprocessing=certified.preprocessing)
    return save_checkpoint(folder, network, spec)


def seconds_until_ready(checkpoint: Path, *, cache: Path, engine: str = "torchserve") -> float:
    command = [sys.executable, "-m", "zoo", "serve", str(checkpoint), "--port", "0", "--device", "cpu"]
    command += ["--engine", engine]
    started = time.monotonic()
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "ZOO_CACHE_DIR": str(cache)}
    )
    try:
        assert process.stdout is not None
        if not process.stdout.readline().startswith("ready"):
            raise SystemExit("zoo serve did not become ready")
        return time.monotonic() - started
    finally:
        process.terminate()
        process.wait(timeout=60)
