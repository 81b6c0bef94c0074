"""MACER: training that maximizes the certified radius without an attack (Zhai et al. 2020, equation 11)."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from training.attacks.smoothed import logits_of_copies
from training.attacks.target import Network
from training.objectives.objective import (
    Batch,
    Objective,
    ObjectiveOutput,
    Progress,
    gaussian_copies,
    require_at_least,
    require_positive,
)

SMALLEST_PROBABILITY = 1e-10


@dataclass(frozen=True, slots=True, kw_only=True)
class Macer(Objective):
    """Cross-entropy of the soft smoothed classifier plus a hinge on its certified radius.

    With F the mean softmax over `m` noisy copies, F' the same with logits multiplied by `beta`, p1 >= p2 the two
    largest values of F', and S the images that F' classifies correctly with a finite margin Phi^-1(p1) - Phi^-1(p2) of
    at most `gamma`:

        1/B * [ sum over B of -log(F_y + 1e-10)  +  lbd * sigma / 2 * sum over S of (gamma - margin) ]

    `lbd` is the paper's lambda; it is 0 in the first `deferred_epochs` epochs (the published code's "deferred", for
    sigma 1). The paper uses m 16 with batches of 64 images.
    """

    sigma: float = 0.5
    m: int = 16
    lbd: float = 4.0
    beta: float = 16.0
    gamma: float = 8.0
    deferred_epochs: float = 0.0

    def __post_init__(self) -> None:
        require_at_least(self, sigma=0, m=1, lbd=0, gamma=0, deferred_epochs=0)
        require_positive(self, "beta")

    def __call__(
        self, model: Network, batch: Batch, *, progress: Progress, generator: torch.Generator
    ) -> ObjectiveOutput:
        noise_MBCHW = gaussian_copies(batch, self.sigma, self.m, generator)
        logits_MBK = logits_of_copies(model, batch.x_BCHW, noise_MBCHW)
        mean_BK = logits_MBK.softmax(dim=2).mean(dim=0)
        cross_entropy = F.nll_loss((mean_BK + SMALLEST_PROBABILITY).log(), batch.labels_B)
        hinge = self.sigma / 2 * self._hinges(logits_MBK, batch.labels_B).sum() / len(batch.labels_B)
        lbd = 0.0 if progress.epochs < self.deferred_epochs else self.lbd
        return ObjectiveOutput(
            loss=cross_entropy + lbd * hinge,
            metrics={"cross_entropy": cross_entropy.detach(), "robustness": hinge.detach()},
        )

    def _hinges(self, logits_MBK: Tensor, labels_B: Tensor) -> Tensor:
        """`gamma - margin` of each image in S.

        The other images are dropped before the quantile, because its gradient can be infinite for them.
        """
        sharp_BK = (self.beta * logits_MBK).softmax(dim=2).mean(dim=0)
        top_B2, classes_B2 = sharp_BK.topk(2, dim=1)
        with torch.no_grad():
            margin_B = _margin(top_B2)
            is_kept_B = (classes_B2[:, 0] == labels_B) & margin_B.isfinite() & (margin_B.abs() <= self.gamma)
        return self.gamma - _margin(top_B2[is_kept_B])


def _margin(top_B2: Tensor) -> Tensor:
    quantile_B2: Tensor = torch.special.ndtri(top_B2)
    return quantile_B2[:, 0] - quantile_B2[:, 1]
