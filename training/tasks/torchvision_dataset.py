"""A data set of torchvision that is imported when it is opened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class TorchvisionDataset:
    """Opens the data set `torchvision.datasets.NAME`; importing torchvision takes as long as importing torch."""

    name: str

    def load(self) -> Any:
        """torchvision's class."""
        import torchvision.datasets

        return getattr(torchvision.datasets, self.name)

    def __call__(self, *args: Any, **options: Any) -> Any:
        return self.load()(*args, **options)
