"""The names of the GPUs that TorchServe's workers may use.

TorchServe 0.12 reads CUDA_VISIBLE_DEVICES as whole numbers between commas. It fails to start if the list names a GPU
(GPU-...) or a MIG instance (MIG-...), or has a space. TorchServe therefore gets the numbers that CUDA gives to these
GPUs, and a worker gets the names back before it uses CUDA.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

VISIBLE = "CUDA_VISIBLE_DEVICES"
NAMES = "ZOO_CUDA_VISIBLE_DEVICES"
NUMBERS = re.compile(r"-?\d+(,-?\d+)*")
NO_GPU = "-1"


def numbered_gpus(environment: Mapping[str, str]) -> dict[str, str]:
    """The changes to TorchServe's environment: numbers for the GPUs, and their names for `restore_names`."""
    names = environment.get(VISIBLE)
    if not names or NUMBERS.fullmatch(names):
        return {}
    import torch

    numbers = range(torch.cuda.device_count())  # CUDA shows at most one MIG instance to a process
    return {VISIBLE: ",".join(map(str, numbers)) or NO_GPU, NAMES: names}


def restore_names() -> None:
    """Gives this worker process the names of its GPUs back. CUDA must not have been used yet."""
    names = os.environ.pop(NAMES, None)
    if names is not None:
        os.environ[VISIBLE] = names
