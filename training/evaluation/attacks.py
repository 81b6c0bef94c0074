"""How many images a base classifier still gets right under attack."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from training.attacks import pgd, under_attack
from training.attacks.target import Network
from training.tasks.loading import EvaluationImages
from training.threat import ThreatModel
from zoo.errors import UnknownNameError
from zoo.preprocessing import to_pixels
from zoo.spec import Attack

ATTACKS = ("pgd",)
VERSION = "1"
"""Of our attacks; it rises when one finds other images than before."""
NUM_STEPS = 20


def find_attack(name: str, threat: ThreatModel, *, num_steps: int = NUM_STEPS) -> Attack:
    """The attack called `name`, with the step size that MadryLab's library advises, 2.5 epsilon / steps.

    Raises: UnknownNameError.
    """
    if name not in ATTACKS:
        raise UnknownNameError("attack", name, ATTACKS)
    return Attack(
        name=name,
        version=VERSION,
        norm=threat.norm,
        epsilon=threat.epsilon,
        num_steps=num_steps,
        step_size=2.5 * threat.epsilon / num_steps,
        start="the image",
    )


def num_robust(network: nn.Module, images: EvaluationImages, attack: Attack, *, batch_size: int) -> int:
    """How many images are classified correctly, and still are where the attack drove their cross-entropy highest.

    The network is attacked in eval mode and full precision, where its parameters are.
    """
    device = next(network.parameters()).device
    with under_attack(network) as target:
        return sum(
            _num_robust(target, to_pixels(x_bytes).to(device), labels_B.to(device), attack)
            for x_bytes, labels_B in DataLoader(images, batch_size=batch_size)
        )


def _num_robust(target: Network, x_BCHW: Tensor, labels_B: Tensor, attack: Attack) -> int:
    is_right_B = _is_right(target, x_BCHW, labels_B)
    x_BCHW, labels_B = x_BCHW[is_right_B], labels_B[is_right_B]
    if len(x_BCHW) == 0:
        return 0
    attacked_BCHW = pgd(
        lambda tried_BCHW: F.cross_entropy(target(tried_BCHW), labels_B, reduction="none"),
        x_BCHW,
        threat=ThreatModel(norm=attack.norm, epsilon=attack.epsilon),
        num_steps=attack.num_steps,
        step_size=attack.step_size,
        keep_best=True,
    )
    return int(_is_right(target, attacked_BCHW, labels_B).sum())


def _is_right(target: Network, x_BCHW: Tensor, labels_B: Tensor) -> Tensor:
    with torch.no_grad():
        return target(x_BCHW).argmax(dim=1) == labels_B
