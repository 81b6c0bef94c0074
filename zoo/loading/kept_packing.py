"""Whether the logits of an exported network depend on the batch, kept between starts of one machine.

Finding out takes half of a server's start: thirty images through the network. The result depends on nothing but the
exported network, ONNX Runtime, the processor and the number of threads, which are the name of the file.
"""

from __future__ import annotations

import hashlib
import json
import platform
from pathlib import Path

import torch

from zoo.download.cache import cache_directory
from zoo.host.atomic_write import write_atomically
from zoo.smoothing.backends.onnxruntime import PROBE_SIZES, runtime_build

KIND = "packing"
NUM_KEPT = 64
DEPENDS, IDENTICAL = "depends on the batch\n", "identical in every batch\n"
CPU_FACTS = ("model name", "microcode", "flags")
CPUINFO = Path("/proc/cpuinfo")


def read_dependence(exported: bytes, device: torch.device) -> bool | None:
    """True if the logits depend on the batch, False if not; None if that is not known of this machine."""
    try:
        text = (cache_directory(KIND) / _key(exported, device)).read_text()
    except (OSError, RuntimeError):  # RuntimeError: there is no home directory
        return None
    return {DEPENDS: True, IDENTICAL: False}.get(text)


def keep_dependence(exported: bytes, device: torch.device, *, depends: bool) -> None:
    """Keeps the result for later starts. If the cache cannot be written, nothing is kept."""
    try:
        folder = cache_directory(KIND)
        write_atomically(folder / _key(exported, device), DEPENDS if depends else IDENTICAL)
        for unused in sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)[NUM_KEPT:]:
            unused.unlink(missing_ok=True)
    except (OSError, RuntimeError):
        return


def _key(exported: bytes, device: torch.device) -> str:
    """A digest of everything that determines the result."""
    facts = {
        "exported": hashlib.sha256(exported).hexdigest(),
        "runtime": runtime_build(),
        "device": [device.type, torch.get_num_threads(), _processor(device)],
        "probes": PROBE_SIZES,
    }
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _processor(device: torch.device) -> list[str]:
    if device.type == "cuda":
        return [torch.cuda.get_device_name(device), str(torch.version.cuda)]
    try:
        lines = CPUINFO.read_text().splitlines()
    except OSError:
        return [platform.machine(), platform.processor(), platform.node()]
    return sorted({line for line in lines if line.startswith(CPU_FACTS)})
