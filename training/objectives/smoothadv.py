"""Adversarial training of the smoothed classifier (Salman et al. 2019, section 2.2)."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from training.attacks import ddn, pgd, under_attack
from training.attacks.smoothed import log_mean, log_probabilities, negative_log_likelihood
from training.attacks.target import Network
from training.objectives.objective import (
    Batch,
    Objective,
    ObjectiveOutput,
    Progress,
    gaussian_copies,
    require,
    require_at_least,
)
from training.threat import ThreatModel


@dataclass(frozen=True, slots=True, kw_only=True)
class SmoothAdv(Objective):
    """Cross-entropy on `m` noisy copies of adversarial images against the smoothed classifier.

    Within an l2 norm of `epsilon`, the adversary maximizes -log of the true class's softmax, averaged over the copies
    before the logarithm. It uses the same noise as the loss. `attack` "pgd" is projected gradient ascent from the image
    in steps of 2 epsilon / `num_steps`; "ddn" is DDN. Over the first `warmup_epochs` epochs, `epsilon` is multiplied by
    min(1, (epoch + 1) / warmup_epochs). The loss is the mean over all copies (the published flag
    `--train-multi-noise`). Published radii of 255 and 512 are in 1/256: 0.996 and 2.0 here.
    """

    sigma: float = 0.5
    m: int = 2
    attack: Literal["pgd", "ddn"] = "pgd"
    epsilon: float = 1.0
    num_steps: int = 2
    warmup_epochs: int = 10

    def __post_init__(self) -> None:
        require_at_least(self, sigma=0, m=1, epsilon=0, num_steps=1, warmup_epochs=0)
        require(self.attack in ("pgd", "ddn"), f"objective.attack must be pgd or ddn, got {self.attack!r}")

    def __call__(
        self, model: Network, batch: Batch, *, progress: Progress, generator: torch.Generator
    ) -> ObjectiveOutput:
        noise_MBCHW = gaussian_copies(batch, self.sigma, self.m, generator)
        epsilon = self.epsilon * Progress(int(progress.epochs) + 1).warmup(self.warmup_epochs)
        with under_attack(model) as target:
            adversarial_BCHW = self._adversary(target, batch, noise_MBCHW, epsilon)
        log_MBK = log_probabilities(model, adversarial_BCHW, noise_MBCHW)
        loss = F.nll_loss(log_MBK.flatten(0, 1), batch.labels_B.repeat(self.m))
        return ObjectiveOutput(loss=loss, metrics={})

    def _adversary(self, target: Network, batch: Batch, noise_MBCHW: Tensor, epsilon: float) -> Tensor:
        labels_B = batch.labels_B
        if epsilon == 0:
            return batch.x_BCHW
        if self.attack == "pgd":
            return pgd(
                lambda x_BCHW: negative_log_likelihood(target, x_BCHW, noise_MBCHW, labels_B),
                batch.x_BCHW,
                threat=ThreatModel(epsilon=epsilon),
                num_steps=self.num_steps,
                step_size=2 * epsilon / self.num_steps,
            )

        def judge(x_BCHW: Tensor) -> tuple[Tensor, Tensor]:
            log_MBK = log_probabilities(target, x_BCHW, noise_MBCHW)
            votes_B = log_MBK.argmax(dim=2).mode(dim=0).values
            return F.nll_loss(log_mean(log_MBK), labels_B, reduction="none"), votes_B != labels_B

        return ddn(judge, batch.x_BCHW, max_norm=epsilon, num_steps=self.num_steps)
