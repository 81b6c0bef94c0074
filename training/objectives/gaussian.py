"""Gaussian augmentation (Cohen, Rosenfeld and Kolter 2019, section 3.3)."""

from dataclasses import dataclass

import torch
from torch.nn import functional as F

from training.attacks.target import Network
from training.objectives.objective import Batch, Objective, ObjectiveOutput, Progress, gaussian_noise, require_at_least


@dataclass(frozen=True, slots=True, kw_only=True)
class Gaussian(Objective):
    """Cross-entropy on noisy images, with a fresh draw per image; `sigma` is on the [0, 1] pixel scale."""

    sigma: float = 0.5

    def __post_init__(self) -> None:
        require_at_least(self, sigma=0)

    def __call__(
        self, model: Network, batch: Batch, *, progress: Progress, generator: torch.Generator
    ) -> ObjectiveOutput:
        noisy_BCHW = batch.x_BCHW + gaussian_noise(batch, self.sigma, generator)
        return ObjectiveOutput(loss=F.cross_entropy(model(noisy_BCHW), batch.labels_B), metrics={})
