"""Operations on perturbed images for several attacks: random starts, restarts, and shrinking into the ball."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from training.attacks.target import Network
from training.streams import normal_per_image
from training.threat import ThreatModel

Search = Callable[[int, Tensor], Tensor]
"""`(restart, places_R) -> x_RCHW`: changed images for the batch's images with the indices `places_R`."""

NORM_EPS = 1e-12
"""Added to a norm before a division by the norm; AutoAttack's value."""
MIN_SHRINKING = 2.0**-23
"""An ulp of float32. The shrinking is doubled until the image is inside; at 1 nothing of the change is left."""
SUMMATION_MARGIN = 1 - 2.0**-40
"""A margin for a different order of summation when distances are measured again."""


def random_start(
    center_BCHW: Tensor, threat: ThreatModel, *, generator: torch.Generator, numbers_B: Tensor | None
) -> Tensor:
    """Random points on the sphere around each image, clamped to the box.

    Args:
        center_BCHW: images in [0, 1].
        threat: norm and radius epsilon of the sphere: l2 starts are Gaussian draws scaled to the radius, linf starts
            uniform draws.
        generator: generator on the CPU.
        numbers_B: image numbers that key the draws; None draws for the whole batch at once.
    """
    if numbers_B is not None:
        drawn_BCHW = normal_per_image(center_BCHW, numbers_B, generator)
        if threat.norm == "linf":
            drawn_BCHW = torch.erf(
                drawn_BCHW / math.sqrt(2)
            )  # the normal distribution function maps it to a uniform draw
    elif threat.norm == "linf":
        drawn_BCHW = 2 * torch.rand(center_BCHW.shape, generator=generator) - 1
    else:
        drawn_BCHW = torch.randn(center_BCHW.shape, generator=generator)
    drawn_BCHW = drawn_BCHW.to(center_BCHW)
    is_linf = threat.norm == "linf"
    length_B111 = drawn_BCHW.abs().amax(dim=(1, 2, 3), keepdim=True) if is_linf else plain_l2_norm(drawn_BCHW)
    return (center_BCHW + threat.epsilon * (drawn_BCHW / (length_B111 + NORM_EPS))).clamp(0.0, 1.0)


def plain_l2_norm(x_BCHW: Tensor) -> Tensor:
    """`norm_B111`: the l2 norm of each image, bitwise equal to AutoAttack's; squares may underflow."""
    return (x_BCHW**2).flatten(1).sum(dim=1).sqrt().view(-1, 1, 1, 1)


def attack_with_restarts(
    target: Network, x_BCHW: Tensor, labels_B: Tensor, search: Search, *, num_restarts: int
) -> Tensor:
    """For each image, a misclassified changed image that the search found.

    An image is returned unchanged if it is already misclassified or the search found nothing.

    Args:
        target: network that maps pixels in [0, 1] to logits.
        x_BCHW: images in [0, 1].
        labels_B: true classes.
        search: attack that runs on the images that are still classified correctly.
        num_restarts: number of times that the search runs.
    """
    adversarial_BCHW = x_BCHW.detach().clone()
    for restart in range(num_restarts):
        places_R = is_correct(target, adversarial_BCHW, labels_B).nonzero().squeeze(1)
        if len(places_R) == 0:
            break
        changed_RCHW = search(restart, places_R)
        is_fooled_R = ~is_correct(target, changed_RCHW, labels_B[places_R])
        adversarial_BCHW[places_R[is_fooled_R]] = changed_RCHW[is_fooled_R]
    return adversarial_BCHW


def is_correct(target: Network, x_BCHW: Tensor, labels_B: Tensor) -> Tensor:
    """`is_correct_B`: whether the network predicts the label."""
    with torch.no_grad():
        return target(x_BCHW).argmax(dim=1) == labels_B


def strictly_inside(x_BCHW: Tensor, center_BCHW: Tensor, threat: ThreatModel) -> Tensor:
    """The images, shrunk towards their centres where the change, measured in float64, is longer than epsilon.

    Images and centres are in the box. Projection and the rounding of pixels can leave a change an ulp or two too long,
    but an image that is reported as found within epsilon must be within epsilon.
    """
    center, change = center_BCHW.double(), x_BCHW.double() - center_BCHW.double()
    inside_BCHW, shrinking, allowed = x_BCHW, MIN_SHRINKING, threat.epsilon * SUMMATION_MARGIN
    while bool((is_outside_B := distances(inside_BCHW, center_BCHW, threat) > allowed).any()):
        length_B = distances(x_BCHW, center_BCHW, threat).clamp(min=threat.epsilon)
        kept_B111 = (1 - min(shrinking, 1.0)) * (threat.epsilon / length_B).view(-1, 1, 1, 1)
        shrunk_BCHW = (center + kept_B111 * change).to(x_BCHW.dtype)
        inside_BCHW = torch.where(is_outside_B.view(-1, 1, 1, 1), shrunk_BCHW, inside_BCHW)
        shrinking *= 2
    return inside_BCHW


def distances(x_BCHW: Tensor, center_BCHW: Tensor, threat: ThreatModel) -> Tensor:
    """`distance_B`: each image's distance from its centre in the threat's norm, float64 on the [0, 1] pixel scale."""
    change_BD = (x_BCHW.double() - center_BCHW.double()).flatten(1)
    order = 2 if threat.norm == "l2" else torch.inf
    distance_B: Tensor = torch.linalg.vector_norm(change_BD, ord=order, dim=1)
    return distance_B
