"""The soft smoothed classifier over given noise samples, and PGD on it (Salman et al. 2019, section 2.2)."""

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
    """The iterates of PGD for which the soft smoothed classifier gives the label the lowest probability.

    The loss is -log of the label's softmax, averaged over the noise samples before the logarithm. The iterates include
    the images themselves. A forward pass processes `num_noise_samples` copies of all images.

    Args:
        model: base classifier that maps pixels in [0, 1] to logits.
        x_BCHW: images in [0, 1].
        labels_B: true classes.
        sigma: noise level, on the [0, 1] pixel scale.
        num_noise_samples: number of draws of `N(0, sigma^2 I)` per image, the same draws in all steps.
        threat: allowed changes.
        num_steps: number of steps.
        step_size: length of a step, on the [0, 1] pixel scale.
        generator: generator of the noise, on the CPU.
        numbers_B: image numbers that key the noise.
    """
    draws = [normal_per_image(x_BCHW, numbers_B, generator) for _ in range(num_noise_samples)]
    noise_MBCHW = torch.stack(draws).mul_(sigma)
    with under_attack(model) as target:
        adversarial_BCHW = pgd(
            lambda iterate_BCHW: negative_log_likelihood(target, iterate_BCHW, noise_MBCHW, labels_B),
            x_BCHW,
            threat=threat,
            num_steps=num_steps,
            step_size=step_size,
            keep_best=True,
        )
    return strictly_inside(adversarial_BCHW, x_BCHW, threat)


def logits_of_copies(model: Network, x_BCHW: Tensor, noise_MBCHW: Tensor) -> Tensor:
    """`logits_MBK` of every noisy copy of every image, in one forward pass."""
    logits = model((x_BCHW + noise_MBCHW).flatten(0, 1))
    return logits.view(*noise_MBCHW.shape[:2], -1)


def log_probabilities(model: Network, x_BCHW: Tensor, noise_MBCHW: Tensor) -> Tensor:
    """`log_MBK`: the log-softmax of every noisy copy."""
    return F.log_softmax(logits_of_copies(model, x_BCHW, noise_MBCHW), dim=2)


def log_mean(log_MBK: Tensor) -> Tensor:
    """`log_BK`: the logarithm of the mean probability over the copies, computed without underflow."""
    return torch.logsumexp(log_MBK, dim=0) - math.log(len(log_MBK))


def negative_log_likelihood(model: Network, x_BCHW: Tensor, noise_MBCHW: Tensor, labels_B: Tensor) -> Tensor:
    """`loss_B`: -log of the soft smoothed classifier's probability of the class (Salman et al. 2019, equation 6)."""
    return F.nll_loss(log_mean(log_probabilities(model, x_BCHW, noise_MBCHW)), labels_B, reduction="none")
