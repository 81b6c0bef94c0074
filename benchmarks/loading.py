"""Measures the time of `zoo.load` for a ResNet-50 of 102 MB, hashing included: python -m benchmarks.loading

Each load runs in a new process, after the imports of torch and torchvision, which are not measured. The file is in the
page cache, since it has just been written. Wall time is the user's waiting time. CPU time is close to the wall time on
an idle machine, and more reliable while other work shares the machine. PyTorch uses one thread, because with two
threads the CPU time would include their waiting for each other.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

LOAD = """
import json, sys, time
import torch, torchvision.models  # not measured

wall, cpu = time.perf_counter(), time.process_time()
import zoo

network = zoo.load(sys.argv[1])
print(json.dumps({"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}))
"""
PARTS = """
import hashlib, json, sys, time
from pathlib import Path
import torch, torchvision.models
import zoo
from zoo.checkpoints.checkpoint import open_checkpoint
from zoo.loading.pretrained import CertifiedNetwork

def cpu_seconds(work):
    start = time.process_time()
    work()
    return time.process_time() - start

path = Path(sys.argv[1])
checkpoint = open_checkpoint(path)
weights = (path / "model.safetensors").read_bytes()
print(json.dumps({
    "SHA-256 of the weights, once": cpu_seconds(lambda: hashlib.sha256(weights).digest()),
    "open_checkpoint: manifest, config, all hashes": cpu_seconds(lambda: open_checkpoint(path)),
    "CertifiedNetwork: the hash again, tensors, finite values": cpu_seconds(
        lambda: CertifiedNetwork.from_checkpoint(checkpoint)
    ),
}))
"""


def main() -> None:
    """Prints the medians and ranges over the rounds."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.loading", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "resnet50"
        save_random_resnet50(path)
        size = (path / "model.safetensors").stat().st_size
        print(f"ResNet-50 of 1,000 classes, {size / 1e6:.1f} MB, {rounds} processes")
        whole = [run(LOAD, path) for _ in range(rounds)]
        parts = [run(PARTS, path) for _ in range(rounds)]
    for name in ("wall", "cpu"):
        print(f"zoo.load, {name} seconds: {median_and_range([times[name] for times in whole])}")
    for name in parts[0]:
        print(f"  {name}, cpu seconds: {median_and_range([times[name] for times in parts])}")


def save_random_resnet50(path: Path) -> None:
    """Writes a checkpoint of a size that users load."""
    from zoo.checkpoints.writing import save_checkpoint
    from zoo.models.architecture import build_network
    from zoo.models.spec import CertifiedConfig, ModelSpec, Preprocessing

    preprocessing = Preprocessing(resize=256, crop=224)
    names = tuple(str(number) for number in range(1000))
    certified = CertifiedConfig(objective="standard", task="none", class_names=names, preprocessing=preprocessing)
    spec = ModelSpec(architecture="resnet50", num_classes=len(names), certified=certified)
    save_checkpoint(path, build_network("resnet50", num_classes=len(names), preprocessing=preprocessing), spec)


def run(program: str, path: Path) -> dict[str, float]:
    """The times that a program prints when it is run with the path as its argument."""
    words = [sys.executable, "-c", program, str(path)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.run(words, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    times: dict[str, float] = json.loads(process.stdout)
    return times


def median_and_range(seconds: list[float]) -> str:
    return f"median {statistics.median(seconds):.2f} ({min(seconds):.2f} to {max(seconds):.2f})"


if __name__ == "__main__":
    main()
