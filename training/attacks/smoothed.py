"""The soft smoothed classifier over given draws of noise, and PGD on it (Salman et al. 2019, section 2.2)."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from training.attacks.perturbations import strictly_inside
from training.attacks.pgd import pgd
from training.attacks.target import Network, under_attack
from training.streams import normal_per_image
from training.threat import ThreatModel


def smoothed_pgd(
    model: Network,
    x_BCHW: Tensor,
    labels_B: Tensor,
    *,
    sigma: float,
    num_noise_samples: int,
    threat: ThreatModel,
    num_steps: int,
    step_size: float,
    generator: torch.Generator,
    numbers_B: Tensor,
) -> Tensor:
    """Images that the threat model allows, where the soft smoothed classifier gave the label the least probability.

    The loss is -log of the mean, over `num_noise_samples` draws of `N(0, sigma^2 I)`, of the label's softmax; the draws
    stay the same in all steps and are keyed by the image's number. The best iterate is taken, the image among them.
    `sigma`, `step_size` and epsilon on the [0, 1] pixel scale. A forward pass holds `num_noise_samples` copies of all
    images.
    """
    draws = [normal_per_image(x_BCHW, numbers_B, generator) for _ in range(num_noise_samples)]
    noise_MBCHW = torch.stack(draws).mul_(sigma)
    with under_attack(model) as target:
        found_BCHW = pgd(
            lambda tried_BCHW: negative_log_likelihood(target, tried_BCHW, noise_MBCHW, labels_B),
            x_BCHW,
            threat=threat,
            num_steps=num_steps,
            step_size=step_size,
            keep_best=True,
        )
    return strictly_inside(found_BCHW, x_BCHW, threat)


def logits_of_copies(model: Network, x_BCHW: Tensor, noise_MBCHW: Tensor) -> Tensor:
    """`logits_MBK` of every image plus every one of its draws of noise, in one forward pass."""
    logits = model((x_BCHW + noise_MBCHW).flatten(0, 1))
    return logits.view(*noise_MBCHW.shape[:2], -1)


def log_probabilities(model: Network, x_BCHW: Tensor, noise_MBCHW: Tensor) -> Tensor:
    """`log_MBK`: the log-softmax on every noisy copy."""
    return F.log_softmax(logits_of_copies(model, x_BCHW, noise_MBCHW), dim=2)


def log_mean(log_MBK: Tensor) -> Tensor:
    """`log_BK`: the logarithm of the mean probability over the copies, which underflows nowhere."""
    return torch.logsumexp(log_MBK, dim=0) - math.log(len(log_MBK))


def negative_log_likelihood(model: Network, x_BCHW: Tensor, noise_MBCHW: Tensor, labels_B: Tensor) -> Tensor:
    """`loss_B`: `-log` of the smoothed classifier's soft probability of the class (Salman et al. 2019, equation 6)."""
    return F.nll_loss(log_mean(log_probabilities(model, x_BCHW, noise_MBCHW)), labels_B, reduction="none")
