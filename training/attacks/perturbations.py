"""Operations on perturbed images that several attacks share: random starts, restarts, and shrinking into the ball."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from training.attacks.target import Network
from training.streams import normal_per_image
from training.threat import ThreatModel

Search = Callable[[int, Tensor], Tensor]
"""`(restart, places_R) -> x_RCHW`: changed images for those of a batch at these places."""

NORM_EPS = 1e-12
"""Added to a norm before dividing by it; AutoAttack's value."""
MIN_SHRINKING = 2.0**-23
"""An ulp of float32; doubled until the image is inside, it ends at 1, where nothing of the change is left."""
SUMMATION_MARGIN = 1 - 2.0**-40
"""Room for another order of summation where distances are measured again."""


def random_start(
    center_BCHW: Tensor, threat: ThreatModel, *, generator: torch.Generator, numbers_B: Tensor | None
) -> Tensor:
    """Points of the sphere around the images, in the box: a Gaussian (l2) or uniform (linf) draw of norm epsilon."""
    if numbers_B is not None:
        drawn_BCHW = normal_per_image(center_BCHW, numbers_B, generator)
        if threat.norm == "linf":
            drawn_BCHW = torch.erf(drawn_BCHW / math.sqrt(2))  # its distribution function: uniform in [-1, 1]
    elif threat.norm == "linf":
        drawn_BCHW = 2 * torch.rand(center_BCHW.shape, generator=generator) - 1
    else:
        drawn_BCHW = torch.randn(center_BCHW.shape, generator=generator)
    drawn_BCHW = drawn_BCHW.to(center_BCHW)
    is_linf = threat.norm == "linf"
    length_B111 = drawn_BCHW.abs().amax(dim=(1, 2, 3), keepdim=True) if is_linf else plain_l2_norm(drawn_BCHW)
    return (center_BCHW + threat.epsilon * (drawn_BCHW / (length_B111 + NORM_EPS))).clamp(0.0, 1.0)


def plain_l2_norm(x_BCHW: Tensor) -> Tensor:
    """`norm_B111` of each image, to the bit as AutoAttack's code computes it; squares may underflow."""
    return (x_BCHW**2).flatten(1).sum(dim=1).sqrt().view(-1, 1, 1, 1)


def attack_with_restarts(
    target: Network, x_BCHW: Tensor, labels_B: Tensor, search: Search, *, num_restarts: int
) -> Tensor:
    """For each image a changed one that is misclassified, or the image itself if it is so already or none was found."""
    answer_BCHW = x_BCHW.detach().clone()
    for restart in range(num_restarts):
        left_R = is_correct(target, answer_BCHW, labels_B).nonzero().squeeze(1)
        if len(left_R) == 0:
            break
        found_RCHW = search(restart, left_R)
        is_fooled_R = ~is_correct(target, found_RCHW, labels_B[left_R])
        answer_BCHW[left_R[is_fooled_R]] = found_RCHW[is_fooled_R]
    return answer_BCHW


def is_correct(target: Network, x_BCHW: Tensor, labels_B: Tensor) -> Tensor:
    """`is_correct_B`: where the network answers the label."""
    with torch.no_grad():
        return target(x_BCHW).argmax(dim=1) == labels_B


def strictly_inside(x_BCHW: Tensor, center_BCHW: Tensor, threat: ThreatModel) -> Tensor:
    """The images, those of them shrunk towards their centre whose change, measured in float64, is above epsilon.

    Both are in the box. Projection and the rounding of pixels leave a change an ulp or two too long; what is reported
    as found within epsilon should be.
    """
    center, change = center_BCHW.double(), x_BCHW.double() - center_BCHW.double()
    answer_BCHW, shrinking, allowed = x_BCHW, MIN_SHRINKING, threat.epsilon * SUMMATION_MARGIN
    while bool((is_outside_B := distances(answer_BCHW, center_BCHW, threat) > allowed).any()):
        length_B = distances(x_BCHW, center_BCHW, threat).clamp(min=threat.epsilon)
        kept_B111 = (1 - min(shrinking, 1.0)) * (threat.epsilon / length_B).view(-1, 1, 1, 1)
        shrunk_BCHW = (center + kept_B111 * change).to(x_BCHW.dtype)
        answer_BCHW = torch.where(is_outside_B.view(-1, 1, 1, 1), shrunk_BCHW, answer_BCHW)
        shrinking *= 2
    return answer_BCHW


def distances(x_BCHW: Tensor, center_BCHW: Tensor, threat: ThreatModel) -> Tensor:
    """`distance_B` of each image from its centre in the threat model's norm, in float64 on the [0, 1] pixel scale."""
    change_BD = (x_BCHW.double() - center_BCHW.double()).flatten(1)
    order = 2 if threat.norm == "l2" else torch.inf
    distance_B: Tensor = torch.linalg.vector_norm(change_BD, ord=order, dim=1)
    return distance_B
