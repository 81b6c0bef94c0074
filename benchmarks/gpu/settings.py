"""The settings that every section receives."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The device, the amount of work and the time limit of a section.

    `device_name` is cpu, cuda or cuda:INDEX. `is_tiny` requests the least work that runs a section's code; the
    figures then mean nothing. `checkpoint` is a directory to use instead of a random network. `ends_at`, on the clock
    of `time.monotonic`, is the latest start of a section. `caches` is a folder that is removed after the run.
    """

    output: Path
    caches: Path
    device_name: str = "cuda"
    is_tiny: bool = False
    checkpoint: Path | None = None
    ends_at: float = float("inf")

    @property
    def device(self) -> torch.device:
        import torch  # only the worker needs torch; the supervising process does not import it

        return torch.device(self.device_name)

    @property
    def is_cuda(self) -> bool:
        return self.device_name != "cpu"

    @property
    def architecture(self) -> str:
        return "resnet10-quarter" if self.is_tiny else "resnet50"

    @property
    def size(self) -> int:
        """The side of an image in pixels."""
        return 16 if self.is_tiny else 224

    @property
    def batch_sizes(self) -> tuple[int, ...]:
        return (1, 2) if self.is_tiny else (128, 512, 1024)

    @property
    def num_repeats(self) -> int:
        """The number of repeats of a measurement; its result is their median."""
        return 1 if self.is_tiny else 15

    @property
    def num_rounds(self) -> int:
        """The number of rounds of a race after the warm-up round; a tiny run measures only the warm-up round."""
        return 0 if self.is_tiny else 3

    @property
    def seconds_left(self) -> float:
        return self.ends_at - time.monotonic()
