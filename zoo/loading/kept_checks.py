"""Results of checks of an exported network, kept between starts of one machine.

Two checks take most of the time that a later start would spend on running the network: whether its logits depend on the
batch (thirty images), and whether they agree with PyTorch's (four). The results depend on nothing but the exported
network, which holds PyTorch's logits, ONNX Runtime, the processor and the number of threads. These are the name of the
file.
"""

from __future__ import annotations

import hashlib
import json
import platform
from pathlib import Path

import torch

from zoo.download.cache import cache_directory
from zoo.export.parity import ABSOLUTE, RELATIVE
from zoo.host.atomic_write import write_atomically
from zoo.smoothing.backends.onnxruntime import PROBE_SIZES, runtime_build

KIND = "checks"
NUM_KEPT = 64
DEPENDS, IDENTICAL = "the logits depend on the batch", "the logits are identical in every batch"
AGREES = "the logits agree with PyTorch's"
CPU_FACTS = ("model name", "microcode", "flags")
CPUINFO = Path("/proc/cpuinfo")


def key_of(exported: bytes) -> str:
    """A digest of everything that determines the results on the CPU. On a GPU nothing is kept."""
    facts = {
        "exported": hashlib.sha256(exported).hexdigest(),
        "runtime": runtime_build(),
        "processor": [torch.get_num_threads(), _processor()],
        "probes": PROBE_SIZES,
        "tolerance": [RELATIVE, ABSOLUTE],
    }
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def read_checks(key: str) -> frozenset[str]:
    """The known results: DEPENDS or IDENTICAL, and perhaps AGREES; empty if none is known of this machine."""
    try:
        results = frozenset((cache_directory(KIND) / key).read_text().splitlines())
    except (OSError, RuntimeError, ValueError):  # RuntimeError: there is no home directory
        return frozenset()
    return results if results - {AGREES} in ({DEPENDS}, {IDENTICAL}) else frozenset()


def keep_checks(key: str, results: frozenset[str]) -> None:
    """Keeps the results for later starts. If the cache cannot be written, nothing is kept."""
    try:
        folder = cache_directory(KIND)
        write_atomically(folder / key, "".join(f"{result}\n" for result in sorted(results)))
        for unused in sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)[NUM_KEPT:]:
            unused.unlink(missing_ok=True)
    except (OSError, RuntimeError):
        return


def _processor() -> list[str]:
    try:
        lines = CPUINFO.read_text().splitlines()
    except OSError:
        return [platform.machine(), platform.processor(), platform.node()]
    return sorted({line for line in lines if line.startswith(CPU_FACTS)})
