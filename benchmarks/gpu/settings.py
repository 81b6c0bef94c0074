"""What every section is given."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Where a section computes, how much, and until when.

    `device_name` is cpu, cuda or cuda:INDEX. `is_tiny` asks for the least work that shows that a section runs; its
    figures mean nothing. `checkpoint` is a directory that takes the place of networks made here. `ends_at`, of
    `time.monotonic`, is when the last section may begin. `caches` is a folder for what is not kept.
    """

    output: Path
    caches: Path
    device_name: str = "cuda"
    is_tiny: bool = False
    checkpoint: Path | None = None
    ends_at: float = float("inf")

    @property
    def device(self) -> torch.device:
        import torch  # not by the process that only looks on

        return torch.device(self.device_name)

    @property
    def is_cuda(self) -> bool:
        return self.device_name != "cpu"

    @property
    def architecture(self) -> str:
        return "resnet10-quarter" if self.is_tiny else "resnet50"

    @property
    def size(self) -> int:
        """Of an image's side, in pixels."""
        return 16 if self.is_tiny else 224

    @property
    def batch_sizes(self) -> tuple[int, ...]:
        return (2, 4) if self.is_tiny else (128, 512, 1024)

    @property
    def num_repeats(self) -> int:
        """Of a measurement, of which the median counts."""
        return 1 if self.is_tiny else 15

    @property
    def num_rounds(self) -> int:
        """Of contenders that take turns, after one that warms up; of a tiny run that one counts, since it is alone."""
        return 0 if self.is_tiny else 3

    @property
    def seconds_left(self) -> float:
        return self.ends_at - time.monotonic()
