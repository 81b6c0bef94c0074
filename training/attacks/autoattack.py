"""AutoAttack (Croce and Hein 2020, section 5), version standard, by the optional package pyautoattack."""

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
    """The version of pyautoattack. Raises: RequestError with the line to type if it is not installed."""
    try:
        return version("pyautoattack")
    except PackageNotFoundError as error:
        raise RequestError(
            "autoattack needs the package pyautoattack, which is not installed: pip install pyautoattack"
        ) from error


def autoattack(model: Network, x_BCHW: Tensor, labels_B: Tensor, *, threat: ThreatModel, seed: int) -> Tensor:
    """For each image one that the threat model allows and the network misclassifies; the image itself if none was found
    or it is misclassified already.

    Each of the attacks sees what those before it left. The package draws from torch's global generators, which are
    seeded for it and restored afterwards; an image's draws depend on the batch. The change, measured in float64, is at
    most epsilon.
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
            found_RCHW, _ = attack.run_standard_evaluation(center_RCHW, labels_R, batch_size=len(center_RCHW))
            return strictly_inside(found_RCHW, center_RCHW, threat)

        return attack_with_restarts(target, x_BCHW, labels_B, search, num_restarts=1)


def attacks_for(num_classes: int) -> tuple[str, ...]:
    """The attacks of version standard that the number of classes allows: targeted DLR looks at four logits."""
    has_targeted_dlr = num_classes >= FEWEST_CLASSES_OF_TARGETED_DLR
    return tuple(name for name in STANDARD if name != "apgd-t" or has_targeted_dlr)


def num_targets(num_classes: int) -> int:
    """How many other classes a targeted attack is aimed at."""
    return min(MOST_TARGETS, num_classes - 1)


def notes_for(num_classes: int) -> tuple[str, ...]:
    """In words, what is run, and what is not for lack of classes."""
    run = f"{', '.join(attacks_for(num_classes))}; number of targets {num_targets(num_classes)}"
    if num_classes >= FEWEST_CLASSES_OF_TARGETED_DLR:
        return (run,)
    return (run, f"apgd-t left out: its loss looks at four logits, and there are {num_classes} classes")
