"""AutoAttack (Croce and Hein 2020, section 5), version standard, through the optional package pyautoattack."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

import torch
from torch import Tensor

from training.attacks.perturbations import attack_with_restarts, strictly_inside
from training.attacks.target import Network, under_attack
from training.threat import ThreatModel
from zoo.errors import RequestError

NUM_STEPS = 100
MOST_TARGETS = 9
FEWEST_CLASSES_OF_TARGETED_DLR = 4
STANDARD = ("apgd-ce", "apgd-t", "fab-t", "square")
THEIR_NORMS = {"l2": "L2", "linf": "Linf"}


def installed_version() -> str:
    """The version of pyautoattack. Raises: RequestError with the install command if it is not installed."""
    try:
        return version("pyautoattack")
    except PackageNotFoundError as error:
        raise RequestError(
            "autoattack needs the package pyautoattack, which is not installed: pip install pyautoattack"
        ) from error


def autoattack(model: Network, x_BCHW: Tensor, labels_B: Tensor, *, threat: ThreatModel, seed: int) -> Tensor:
    """For each image, an image that the threat model allows and the network misclassifies.

    An image is returned unchanged if the attacks found no such image or the image is already misclassified. Each attack
    receives the images that the attacks before it did not break. The package draws from torch's global generators,
    which this function seeds and restores; an image's draws depend on its batch. The change, measured in float64, is at
    most epsilon.

    Args:
        model: network that maps pixels in [0, 1] to logits.
        x_BCHW: images in [0, 1].
        labels_B: true classes.
        threat: allowed changes.
        seed: seed of the attacks' random draws.
    Raises: RequestError if the package is not installed.
    """
    installed_version()
    from pyautoattack import AutoAttack

    with under_attack(model) as target, torch.random.fork_rng(devices=[x_BCHW.device] if x_BCHW.is_cuda else []):

        def search(restart: int, places_R: Tensor) -> Tensor:
            center_RCHW, labels_R = x_BCHW.detach()[places_R], labels_B[places_R]
            num_classes = target(center_RCHW[:1]).shape[1]
            attack = AutoAttack(
                target,
                norm=THEIR_NORMS[threat.norm],
                eps=threat.epsilon,
                seed=seed,
                version="custom",
                attacks=list(attacks_for(num_classes)),
                device=x_BCHW.device,
            )
            attack.apgd.n_restarts = attack.fab.n_restarts = 1
            attack.apgd_targeted.n_target_classes = attack.fab.n_target_classes = num_targets(num_classes)
            adversarial_RCHW, _ = attack.run_standard_evaluation(center_RCHW, labels_R, batch_size=len(center_RCHW))
            return strictly_inside(adversarial_RCHW, center_RCHW, threat)

        return attack_with_restarts(target, x_BCHW, labels_B, search, num_restarts=1)


def attacks_for(num_classes: int) -> tuple[str, ...]:
    """The attacks of version standard that work with this number of classes: targeted DLR needs four logits."""
    has_targeted_dlr = num_classes >= FEWEST_CLASSES_OF_TARGETED_DLR
    return tuple(name for name in STANDARD if name != "apgd-t" or has_targeted_dlr)


def num_targets(num_classes: int) -> int:
    """The number of other classes that a targeted attack tries."""
    return min(MOST_TARGETS, num_classes - 1)


def notes_for(num_classes: int) -> tuple[str, ...]:
    """Notes on the attacks that run, and on the attack that is left out for lack of classes."""
    run = f"{', '.join(attacks_for(num_classes))}; number of targets {num_targets(num_classes)}"
    if num_classes >= FEWEST_CLASSES_OF_TARGETED_DLR:
        return (run,)
    return (run, f"apgd-t left out: its loss looks at four logits, and there are {num_classes} classes")
