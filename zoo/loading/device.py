"""Chooses the device that computes; the choice never changes the meaning of a result."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from zoo.errors import RequestError

if TYPE_CHECKING:
    import torch


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
        raise RequestError(
            f"--device {name} does not exist: this machine has {torch.cuda.device_count()} CUDA device(s)"
        )
    return device


def require_device_name(name: str) -> None:
    """Raises RequestError unless `name` is a valid device name, on this machine or another."""
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", name):
        raise RequestError(f"--device takes auto, cpu, cuda or cuda:INDEX, got {name!r}")
