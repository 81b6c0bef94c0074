"""Standard training."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch.nn import functional as F

from training.attacks.target import Network
from training.objectives.objective import Batch, Objective, ObjectiveOutput, Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Standard(Objective):
    """Cross-entropy on clean images: the baseline without robustness."""

    sigma: ClassVar[None] = None

    def __call__(
        self, model: Network, batch: Batch, *, progress: Progress, generator: torch.Generator
    ) -> ObjectiveOutput:
        return ObjectiveOutput(loss=F.cross_entropy(model(batch.x_BCHW), batch.labels_B), metrics={})
