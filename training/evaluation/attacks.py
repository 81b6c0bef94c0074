"""The attacks that measure robust accuracy: their names, settings, defaults and implementations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from training.attacks import apgd, pgd, under_attack
from training.attacks.autoattack import NUM_STEPS, autoattack, installed_version, notes_for
from training.attacks.losses import LOSSES, Loss, find_loss
from training.attacks.perturbations import attack_with_restarts, random_start, strictly_inside
from training.attacks.smoothed import smoothed_pgd
from training.attacks.target import Network
from training.streams import derived_seed, stream
from training.threat import ThreatModel
from zoo.errors import RequestError, UnknownNameError
from zoo.models.measurements import Attack, SmoothedTarget
from zoo.smoothing.arguments import checked_sigma
from zoo.smoothing.prediction import require_can_predict

VERSION = "1"
"""Version of our attacks; it rises when an attack starts to find different images."""
NUM_NOISE_SAMPLES = 32
NUM_DRAWS = 1000
ALPHA = 0.001


OPTIONS = {
    "num_steps": "--attack-steps",
    "num_restarts": "--restarts",
    "loss": "--loss",
    "sigma": "--sigma",
    "num_noise_samples": "--noise-samples",
    "n": "--n",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind:
    takes: tuple[str, ...]
    num_steps: int
    relative_step_size: Callable[[int], float] | None
    """The (first) step size in units of epsilon, as a function of the number of steps."""
    start: str
    run: Callable[[Attack, Network, Tensor, Tensor, Tensor], Tensor]


def find_attack(
    name: str,
    threat: ThreatModel,
    *,
    num_steps: int | None = None,
    num_restarts: int | None = None,
    loss: Loss | None = None,
    sigma: float | None = None,
    num_noise_samples: int | None = None,
    n: int | None = None,
    num_classes: int | None = None,
    seed: int = 0,
) -> Attack:
    """The attack `name`; a setting that is None gets the attack's default.

    Args:
        name: A key of `ATTACKS`.
        threat: The norm and the radius epsilon, on the [0, 1] pixel scale.
        num_steps: Gradient steps.
        num_restarts: Searches of apgd or pgd.
        loss: The loss that apgd or pgd maximizes.
        sigma: Noise of the smoothed classifier, on the [0, 1] pixel scale; smoothed-pgd requires it.
        num_noise_samples: Noise samples per gradient of smoothed-pgd.
        n: Noise samples per prediction of the smoothed classifier.
        num_classes: Classes of the task. If it is None, the attack itself rejects a loss that needs more classes.
        seed: Seed of the attack's random starts and noise.
    Raises: UnknownNameError; RequestError if the attack does not take a setting or needs a missing one, the loss needs
    more classes, or AutoAttack's package is missing.
    """
    if name not in ATTACKS:
        raise UnknownNameError("attack", name, ATTACKS)
    kind = ATTACKS[name]
    _require_taken(name, num_steps, num_restarts, loss, sigma, num_noise_samples, n)
    if "loss" in kind.takes:
        loss = loss or "ce"
        find_loss(loss, num_classes=num_classes)
    steps = num_steps or kind.num_steps
    return Attack(
        name=name,
        version=f"pyautoattack {installed_version()}" if name == "autoattack" else VERSION,
        norm=threat.norm,
        epsilon=threat.epsilon,
        num_steps=steps,
        step_size=None if kind.relative_step_size is None else kind.relative_step_size(steps) * threat.epsilon,
        start=kind.start,
        loss=loss,
        num_restarts=num_restarts or 1,
        seed=seed,
        smoothed=_smoothed_target(name, sigma, num_noise_samples, n) if "sigma" in kind.takes else None,
        notes=notes_for(num_classes) if name == "autoattack" and num_classes is not None else (),
    )


def _require_taken(name: str, *settings: object) -> None:
    takes = ATTACKS[name].takes
    for (setting, option), value in zip(OPTIONS.items(), settings, strict=True):
        if value is not None and setting not in takes:
            raise RequestError(
                f"{name} does not take {option}; it takes {', '.join(OPTIONS[taken] for taken in takes) or 'no option'}"
            )


def _smoothed_target(name: str, sigma: float | None, num_noise_samples: int | None, n: int | None) -> SmoothedTarget:
    if not sigma:
        raise RequestError(f"{name} attacks a smoothed classifier, which needs noise: give --sigma above 0")
    n = n or NUM_DRAWS
    require_can_predict(n, ALPHA)
    num_noise_samples = num_noise_samples or NUM_NOISE_SAMPLES
    return SmoothedTarget(sigma=checked_sigma(sigma), num_noise_samples=num_noise_samples, n=n, alpha=ALPHA)


def adversarial_images(attack: Attack, model: Network, x_BCHW: Tensor, labels_B: Tensor, numbers_B: Tensor) -> Tensor:
    """The adversarial images, inside the attack's ball and in [0, 1].

    The attack's seed and the image's number key the randomness for an image (AutoAttack: the first number of the
    batch).

    Args:
        attack: The attack and its settings.
        model: The network, on the device of the images.
        x_BCHW: The images in [0, 1].
        labels_B: Their classes, on the same device.
        numbers_B: Their numbers in the test set.
    """
    return ATTACKS[attack.name].run(attack, model, x_BCHW, labels_B, numbers_B)


def threat_of(attack: Attack) -> ThreatModel:
    """The threat model of the attack."""
    return ThreatModel(norm=attack.norm, epsilon=attack.epsilon)


def _run_pgd(attack: Attack, model: Network, x_BCHW: Tensor, labels_B: Tensor, numbers_B: Tensor) -> Tensor:
    """PGD from the image, then from random starts; each search returns its iterate with the highest loss."""
    threat, loss, generator = threat_of(attack), LOSSES[attack.loss or "ce"], stream(_seed_of(attack), "attack")
    assert attack.step_size is not None  # find_attack sets it
    step_size = attack.step_size
    with under_attack(model) as target:

        def search(restart: int, places_R: Tensor) -> Tensor:
            center_RCHW, labels_R, start_RCHW = x_BCHW[places_R], labels_B[places_R], None
            if restart > 0:
                numbers_R = numbers_B[places_R.cpu()]
                start_RCHW = random_start(center_RCHW, threat, generator=generator, numbers_B=numbers_R)
            adversarial_RCHW = pgd(
                lambda tried_RCHW: loss(target(tried_RCHW), labels_R),
                center_RCHW,
                threat=threat,
                num_steps=attack.num_steps,
                step_size=step_size,
                start_BCHW=start_RCHW,
                keep_best=True,
            )
            return strictly_inside(adversarial_RCHW, center_RCHW, threat)

        return attack_with_restarts(target, x_BCHW, labels_B, search, num_restarts=attack.num_restarts)


def _run_apgd(attack: Attack, model: Network, x_BCHW: Tensor, labels_B: Tensor, numbers_B: Tensor) -> Tensor:
    return apgd(
        model,
        x_BCHW,
        labels_B,
        threat=threat_of(attack),
        num_steps=attack.num_steps,
        num_restarts=attack.num_restarts,
        loss=attack.loss or "ce",
        generator=stream(_seed_of(attack), "attack"),
        numbers_B=numbers_B,
    )


def _run_smoothed_pgd(attack: Attack, model: Network, x_BCHW: Tensor, labels_B: Tensor, numbers_B: Tensor) -> Tensor:
    assert attack.step_size is not None and attack.smoothed is not None  # find_attack sets both
    return smoothed_pgd(
        model,
        x_BCHW,
        labels_B,
        sigma=attack.smoothed.sigma,
        num_noise_samples=attack.smoothed.num_noise_samples,
        threat=threat_of(attack),
        num_steps=attack.num_steps,
        step_size=attack.step_size,
        generator=stream(_seed_of(attack), "attack"),
        numbers_B=numbers_B,
    )


def _run_autoattack(attack: Attack, model: Network, x_BCHW: Tensor, labels_B: Tensor, numbers_B: Tensor) -> Tensor:
    seed = derived_seed(_seed_of(attack), "attack", int(numbers_B[0])) % 2**31
    return autoattack(model, x_BCHW, labels_B, threat=threat_of(attack), seed=seed)


def _seed_of(attack: Attack) -> int:
    assert attack.seed is not None  # only results of older versions have no seed
    return attack.seed


ATTACKS: Mapping[str, _Kind] = {
    "apgd": _Kind(
        takes=("num_steps", "num_restarts", "loss"),
        num_steps=100,
        relative_step_size=lambda num_steps: 2.0,
        start="a random point at distance epsilon",
        run=_run_apgd,
    ),
    "autoattack": _Kind(
        takes=(), num_steps=NUM_STEPS, relative_step_size=None, start="its own starts", run=_run_autoattack
    ),
    "pgd": _Kind(
        takes=("num_steps", "num_restarts", "loss"),
        num_steps=20,
        relative_step_size=lambda num_steps: 2.5 / num_steps,  # the advice of MadryLab's robustness library
        start="the image",
        run=_run_pgd,
    ),
    "smoothed-pgd": _Kind(
        takes=("num_steps", "sigma", "num_noise_samples", "n"),
        num_steps=20,
        relative_step_size=lambda num_steps: 2.5 / num_steps,
        start="the image",
        run=_run_smoothed_pgd,
    ),
}
