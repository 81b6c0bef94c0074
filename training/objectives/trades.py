"""TRADES (Zhang et al. 2019, equation 5)."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from training.attacks import under_attack
from training.attacks.target import Network
from training.objectives.adversary import AdversarialObjective
from training.objectives.objective import Batch, ObjectiveOutput, Progress, gaussian_noise, require_at_least

START_SIGMA = 0.001


@dataclass(frozen=True, slots=True, kw_only=True)
class Trades(AdversarialObjective):
    """Cross-entropy on clean images, plus `beta` times the divergence of adversarial from clean predictions:

        mean over B of [ CE(F(x), y) + beta * KL(F(x) || F(x')) ]

    with F the softmax and x' the result of projected gradient ascent on that KL, starting at the image plus noise of
    standard deviation 0.001. The gradient flows through both arguments of the KL. The paper's setting is linf, epsilon
    0.031, 10 steps of 0.007, beta 6; the default threat model here is the transfer study's. Wu et al. 2020 use
    `awp_gamma` 0.005 after 10 epochs.
    """

    num_steps: int = 10
    beta: float = 6.0

    def __post_init__(self) -> None:
        AdversarialObjective.__post_init__(self)
        require_at_least(self, beta=0)

    def __call__(
        self, model: Network, batch: Batch, *, progress: Progress, generator: torch.Generator
    ) -> ObjectiveOutput:
        with under_attack(model) as target:
            with torch.no_grad():
                clean_BK = F.log_softmax(target(batch.x_BCHW), dim=1)
            adversarial_BCHW = self.attack(
                lambda x_BCHW: _divergence(clean_BK, F.log_softmax(target(x_BCHW), dim=1)),
                batch.x_BCHW,
                start_BCHW=batch.x_BCHW + gaussian_noise(batch, START_SIGMA, generator),
            )

        def parts(network: Network) -> tuple[Tensor, Tensor]:
            clean_BK = F.log_softmax(network(batch.x_BCHW), dim=1)
            adversarial_BK = F.log_softmax(network(adversarial_BCHW), dim=1)
            return F.nll_loss(clean_BK, batch.labels_B), _divergence(clean_BK, adversarial_BK).mean()

        def loss_of(network: Network) -> Tensor:
            cross_entropy, divergence = parts(network)
            return cross_entropy + self.beta * divergence

        cross_entropy, divergence = parts(self.perturb_weights(model, loss_of, progress))
        return ObjectiveOutput(
            loss=cross_entropy + self.beta * divergence,
            metrics={"cross_entropy": cross_entropy.detach(), "divergence": divergence.detach()},
        )


def _divergence(log_p_BK: Tensor, log_q_BK: Tensor) -> Tensor:
    """`KL(p || q)` of each image."""
    return (log_p_BK.exp() * (log_p_BK - log_q_BK)).sum(dim=1)
