"""Chooses the device that computes; the choice never changes the meaning of a result."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from zoo.errors import RequestError

if TYPE_CHECKING:
    import torch

    from zoo.checkpoints.checkpoint import Checkpoint

VISIBLE = "CUDA_VISIBLE_DEVICES"  # CUDA's list of the GPUs and MIG instances of a process, by number or by name
BFLOAT16_INSTRUCTIONS = ("avx512_bf16", "amx_bf16", "bf16")  # of x86, x86 and ARM, in torch's words


def pick_device(name: str) -> torch.device:
    """The device called `auto` (a GPU if there is one), `cpu`, `cuda` or `cuda:INDEX`.

    Raises: RequestError if the name is not one of these, or the GPU does not exist.
    """
    import torch

    require_device_name(name)
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        visible = os.environ.get(VISIBLE)
        owner = "this machine has" if visible is None else f"{VISIBLE}={visible} leaves"
        raise RequestError(f"--device {name} does not exist: {owner} {torch.cuda.device_count()} CUDA device(s)")
    return device


def device_for(checkpoint: Checkpoint, name: str) -> torch.device:
    """The device called `name` for a checkpoint, as in `pick_device`; `auto` is the CPU for a quantized network.

    Raises: RequestError, as `pick_device` does.
    """
    return pick_device("cpu" if name == "auto" and checkpoint.spec.certified.precision is not None else name)


def cpu_has_bfloat16() -> bool:
    """True if this machine's processor has bfloat16 instructions, so that torch does not emulate them slowly."""
    import torch

    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in BFLOAT16_INSTRUCTIONS)


def require_device_name(name: str) -> None:
    """Raises RequestError unless `name` is a valid device name, on this machine or another."""
    if re.fullmatch(r"auto|cpu|cuda(:\d+)?", name):
        return
    advice = ""
    if re.match(r"(gpu|mig)-", name, re.IGNORECASE):
        advice = f": set {VISIBLE}={name} and give --device cuda"
    raise RequestError(f"--device takes auto, cpu, cuda or cuda:INDEX, got {name!r}{advice}")
