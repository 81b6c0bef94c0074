"""The number of processes that read and prepare images while a device computes."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from zoo.host.cores import num_cores

MOST_WORKERS = 8
IMAGES_PER_WORKER = 16
SHARED_MEMORY = Path("/dev/shm")
LEAST_BYTES_FREE = 2**30
"""Workers pass on images in shared memory, of which a container has 64 MB by default: too little for large batches."""


def num_loader_workers(device: torch.device, *, num_images: int, num_processes: int = 1) -> int:
    """The default number of loader processes: up to 8 next to a GPU, as far as there are cores, and none next to a CPU.

    A network on a CPU needs the cores itself. Without 1 GiB of free shared memory, this process loads the images.

    Args:
        device: The device that computes.
        num_images: The images to load: a process is not worth its start for a few.
        num_processes: The processes on this machine that share the cores, each with loader processes of its own.
    """
    if device.type == "cpu" or _free_bytes(SHARED_MEMORY) < LEAST_BYTES_FREE:
        return 0
    return max(0, min(MOST_WORKERS, num_cores() // num_processes - 1, num_images // IMAGES_PER_WORKER))


def _free_bytes(folder: Path) -> int:
    try:
        status = os.statvfs(folder)
    except OSError:
        return 0
    return status.f_bavail * status.f_frsize
