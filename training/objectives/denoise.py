"""Denoised smoothing: trains a denoiser before a classifier that stays as it is, without labels.

Source: Salman et al. 2020, Denoised Smoothing: A Provable Defense for Pretrained Classifiers, section 3.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch.nn import functional as F

from training.attacks.target import Network
from training.objectives.objective import (
    Batch,
    Objective,
    ObjectiveOutput,
    Progress,
    gaussian_noise,
    require,
    require_at_least,
    require_positive,
)
from zoo.models.denoiser_config import MAX_DEPTH, MAX_DOWNSAMPLING, MAX_WIDTH, DenoiserShape


@dataclass(frozen=True, slots=True, kw_only=True)
class Denoise(Objective):
    """A denoiser D for noise of `sigma`, on the [0, 1] pixel scale; it sees the noisy image x + n only.

    - `mse`: the mean squared error of D(x + n), in units of sigma^2; 1 is the error of the noisy image itself. Needs no
      classifier. `model` is the denoiser.
    - `stability`: the cross-entropy of h(D(x + n)) with the class that the classifier h predicts for x. `model` is h
      behind D, and the batch's labels are h's predictions. h stays as it is.

    The published STAB+MSE is `stability` started from a denoiser that was trained with `mse` (`--init`).
    `depth`, `width`, `downsampling` and `estimates` are those of `DenoiserShape`.
    """

    learns_classes: ClassVar[bool] = False
    trains_denoiser: ClassVar[bool] = True

    sigma: float = 0.5
    loss: Literal["mse", "stability"] = "mse"
    depth: int = 6
    width: int = 32
    downsampling: int = 2
    estimates: Literal["image", "noise"] = "image"

    def __post_init__(self) -> None:
        require_positive(self, "sigma")
        require_at_least(self, depth=3, width=1, downsampling=1)
        for name, most in (("depth", MAX_DEPTH), ("width", MAX_WIDTH), ("downsampling", MAX_DOWNSAMPLING)):
            value = getattr(self, name)
            require(value <= most, f"objective.{name} must be at most {most}, got {value}")
        require(self.loss in ("mse", "stability"), f"objective.loss must be mse or stability, got {self.loss!r}")
        estimates = self.estimates
        require(estimates in ("image", "noise"), f"objective.estimates must be image or noise, got {estimates!r}")

    @property
    def shape(self) -> DenoiserShape:
        """The shape of the denoiser."""
        return DenoiserShape(
            depth=self.depth, width=self.width, downsampling=self.downsampling, estimates=self.estimates
        )

    @property
    def learns_from_classifier(self) -> bool:
        return self.loss == "stability"

    def __call__(
        self, model: Network, batch: Batch, *, progress: Progress, generator: torch.Generator
    ) -> ObjectiveOutput:
        noisy_BCHW = batch.x_BCHW + gaussian_noise(batch, self.sigma, generator)
        if self.loss == "stability":
            return ObjectiveOutput(loss=F.cross_entropy(model(noisy_BCHW), batch.labels_B), metrics={})
        error = F.mse_loss(model(noisy_BCHW), batch.x_BCHW)
        return ObjectiveOutput(loss=error / self.sigma**2, metrics={"mean_squared_error": error.detach()})
