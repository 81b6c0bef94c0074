"""The soft smoothed classifier over m given draws of noise: what the methods that attack or mix it have in common."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from training.attacks.target import Network


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
