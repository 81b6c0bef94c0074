"""Adversarial training (Madry et al. 2018, section 2; l2 as in MadryLab's robustness library)."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from training.attacks import under_attack
from training.attacks.target import Network
from training.objectives.adversary import AdversarialObjective
from training.objectives.objective import Batch, ObjectiveOutput, Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Adversarial(AdversarialObjective):
    """Cross-entropy on adversarial images from projected gradient ascent.

    The defaults are the transfer study's (section 4.1): l2, epsilon 0.5, 3 steps of 2/3 epsilon. The attack uses the
    network in eval mode and starts at the image. With `keep_best` it returns the iterate with the highest loss, the
    default of MadryLab's library. Wu et al. 2020 use `awp_gamma` 0.01.
    """

    keep_best: bool = True

    def __call__(
        self, model: Network, batch: Batch, *, progress: Progress, generator: torch.Generator
    ) -> ObjectiveOutput:
        with under_attack(model) as target:
            adversarial_BCHW = self.attack(
                lambda x_BCHW: F.cross_entropy(target(x_BCHW), batch.labels_B, reduction="none"),
                batch.x_BCHW,
                keep_best=self.keep_best,
            )

        def loss_of(network: Network) -> Tensor:
            return F.cross_entropy(network(adversarial_BCHW), batch.labels_B)

        return ObjectiveOutput(loss=loss_of(self.perturb_weights(model, loss_of, progress)), metrics={})
