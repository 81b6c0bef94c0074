"""Consistency regularization (Jeong and Shin 2020, equations 8 and 9)."""

from dataclasses import dataclass

import torch
from torch.nn import functional as F

from training.attacks.smoothed import log_mean, log_probabilities
from training.attacks.target import Network
from training.objectives.objective import Batch, Objective, ObjectiveOutput, Progress, gaussian_copies, require_at_least


@dataclass(frozen=True, slots=True, kw_only=True)
class Consistency(Objective):
    """Cross-entropy on `m` noisy copies of each image, plus a penalty on their disagreement.

    With F_i the softmax on copy i and F the mean of F_i over the m copies (the gradient flows through F too):

        mean over m and B of CE(F_i, y)  +  w * mean over B of [ lbd * mean over m of KL(F || F_i)  +  eta * H(F) ]

    `lbd` is the paper's lambda. `w` rises linearly from 0 to 1 over the first `warmup_epochs` epochs; in the paper `w`
    is always 1, as with `warmup_epochs` 0. The defaults are the transfer study's (section 4.1). A batch of B images
    costs m*B forward passes; the published code counts m*B as its batch size.
    """

    sigma: float = 0.5
    m: int = 2
    lbd: float = 5.0
    eta: float = 0.5
    warmup_epochs: float = 0.0

    def __post_init__(self) -> None:
        require_at_least(self, sigma=0, m=1, lbd=0, eta=0, warmup_epochs=0)

    def __call__(
        self, model: Network, batch: Batch, *, progress: Progress, generator: torch.Generator
    ) -> ObjectiveOutput:
        noise_MBCHW = gaussian_copies(batch, self.sigma, self.m, generator)
        log_MBK = log_probabilities(model, batch.x_BCHW, noise_MBCHW)
        cross_entropy = F.nll_loss(log_MBK.flatten(0, 1), batch.labels_B.repeat(self.m))

        log_mean_BK = log_mean(log_MBK)
        mean_BK = log_mean_BK.exp()
        divergence = (mean_BK * (log_mean_BK - log_MBK)).sum(dim=2).mean()
        entropy = -(mean_BK * log_mean_BK).sum(dim=1).mean()

        weight = progress.warmup(self.warmup_epochs)
        return ObjectiveOutput(
            loss=cross_entropy + weight * (self.lbd * divergence + self.eta * entropy),
            metrics={
                "cross_entropy": cross_entropy.detach(),
                "divergence": divergence.detach(),
                "entropy": entropy.detach(),
            },
        )
