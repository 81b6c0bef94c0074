"""The classifier that is measured and attacked: the base classifier or the smoothed classifier."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

import torch
from torch import Tensor

from training.attacks.perturbations import distances
from training.evaluation.attacks import adversarial_images, threat_of
from training.evaluation.empirical_log import EmpiricalRow
from training.streams import derived_seed
from zoo.errors import RequestError
from zoo.models.measurements import Attack, SmoothedTarget
from zoo.results.log import ABSTAIN
from zoo.smoothing import (
    BaseClassifier,
    CertificationEngine,
    NoiseKey,
    NoisySampler,
    Prediction,
    SamplingOptions,
    TorchBackend,
    Votes,
)
from zoo.smoothing.backends import CompiledBackend
from zoo.smoothing.precision import DEFAULT


class AttackTarget(Protocol):
    """A classifier and an optional attack on it."""

    batch_size: int
    """Images per batch."""

    def rows(self, x_BCHW: Tensor, labels_B: Tensor, numbers_B: Tensor) -> list[EmpiricalRow]:
        """The rows of a batch: the answers on the clean images, and on the attacked images if there is an attack.

        `x_BCHW` is in [0, 1] on the classifier's device. `labels_B` and the image numbers `numbers_B`, which key the
        randomness, are on the CPU.
        """
        ...


class BaseAttackTarget:
    """The base classifier. An image is robust if it is classified right, clean and attacked."""

    def __init__(self, base: BaseClassifier, attack: Attack | None, *, batch_size: int) -> None:
        self.base = base
        self.network = None if attack is None else attackable_network(base, attack)
        self.attack = attack
        self.batch_size = batch_size

    def rows(self, x_BCHW: Tensor, labels_B: Tensor, numbers_B: Tensor) -> list[EmpiricalRow]:
        clean_B = self._classes(x_BCHW)
        rows = _clean_rows(numbers_B, labels_B, clean_B)
        if self.attack is None or self.network is None:
            return rows
        labels_on_device_B = labels_B.to(x_BCHW.device)
        attacked_BCHW = adversarial_images(self.attack, self.network, x_BCHW, labels_on_device_B, numbers_B)
        attacked_B = self._classes(attacked_BCHW)
        is_robust_B = (clean_B == labels_B) & (attacked_B == labels_B)
        distance_B = distances(attacked_BCHW, x_BCHW, threat_of(self.attack)).cpu()
        return _attacked_rows(rows, self.attack, attacked_B, is_robust_B, distance_B)

    def _classes(self, x_BCHW: Tensor) -> Tensor:
        return torch.from_numpy(self.base.classify(x_BCHW))


class SmoothedAttackTarget:
    """The smoothed classifier, evaluated by PREDICT (Cohen et al. 2019).

    An image is robust unless PREDICT returns a wrong class for the clean or the attacked image: after an abstention
    the class of the smoothed classifier is unknown. The share of robust images is therefore an upper bound of the
    smoothed classifier's robust accuracy (each answer is wrong with probability at most alpha). Its certified accuracy
    is a lower bound.
    """

    def __init__(self, base: BaseClassifier, attack: Attack, smoothed: SmoothedTarget, *, batch_size: int) -> None:
        """`batch_size` is the number of noisy copies per forward pass."""
        self.network = attackable_network(base, attack)
        self.attack = attack
        self.smoothed = smoothed
        self.batch_size = max(1, batch_size // smoothed.num_noise_samples)
        self._sampler = NoisySampler(base, SamplingOptions(batch_size=batch_size))

    def rows(self, x_BCHW: Tensor, labels_B: Tensor, numbers_B: Tensor) -> list[EmpiricalRow]:
        clean_B = self._answers(x_BCHW, numbers_B, "clean")
        is_open_B = _is_not_wrong(clean_B, labels_B)
        attacked_BCHW, attacked_B = x_BCHW.clone(), clean_B.clone()
        if bool(is_open_B.any()):
            x_RCHW, labels_R, numbers_R = x_BCHW[is_open_B], labels_B[is_open_B].to(x_BCHW.device), numbers_B[is_open_B]
            adversarial_RCHW = adversarial_images(self.attack, self.network, x_RCHW, labels_R, numbers_R)
            attacked_BCHW[is_open_B] = adversarial_RCHW
            attacked_B[is_open_B] = self._answers(adversarial_RCHW, numbers_R, "attacked")
        is_robust_B = is_open_B & _is_not_wrong(attacked_B, labels_B)
        distance_B = distances(attacked_BCHW, x_BCHW, threat_of(self.attack)).cpu()
        rows = _clean_rows(numbers_B, labels_B, clean_B)
        return _attacked_rows(rows, self.attack, attacked_B, is_robust_B, distance_B)

    def _answers(self, x_BCHW: Tensor, numbers_B: Tensor, which: str) -> Tensor:
        """PREDICT's classes, -1 for an abstention; seed, image number and `which` (clean or attacked) key the noise."""
        root = derived_seed(self.attack.seed or 0, "prediction", which)
        engine, numbers, answers = CertificationEngine(self._sampler), numbers_B.tolist(), {}
        smoothed = self.smoothed
        for number, x_CHW in zip(numbers, x_BCHW.cpu(), strict=True):
            key = NoiseKey(root=root, job=number)
            engine.admit(Prediction(number, x_CHW, sigma=smoothed.sigma, n=smoothed.n, alpha=smoothed.alpha, key=key))
        while engine.num_open:
            for finished in engine.step():
                assert isinstance(finished.result, Votes)
                answers[finished.id] = ABSTAIN if finished.result.label is None else finished.result.label
        return torch.tensor([answers[number] for number in numbers])


def attack_target_for(base: BaseClassifier, attack: Attack | None, *, batch_size: int) -> AttackTarget:
    """The attacked classifier: smoothed if the attack names a smoothing, otherwise the base classifier itself.

    Raises: RequestError if the base classifier cannot be attacked.
    """
    if attack is None or attack.smoothed is None:
        return BaseAttackTarget(base, attack, batch_size=batch_size)
    return SmoothedAttackTarget(base, attack, attack.smoothed, batch_size=batch_size)


def attackable_network(base: BaseClassifier, attack: Attack) -> Callable[[Tensor], Tensor]:
    """The network of a base classifier for an attack, which needs gradients that are not rounded.

    Raises: RequestError if the base classifier has no gradients, or another precision than float32.
    """
    if not isinstance(base, TorchBackend) or isinstance(base, CompiledBackend):
        raise RequestError(
            f"{attack.name} needs gradients, which the backend {base.name} does not have: attack the float checkpoint"
        )
    if base.precision != DEFAULT:
        raise RequestError(f"{attack.name} is computed in {DEFAULT}, not in {base.precision}: omit --precision")
    return base.base


def _is_not_wrong(answers_B: Tensor, labels_B: Tensor) -> Tensor:
    return (answers_B == labels_B) | (answers_B == ABSTAIN)


def _clean_rows(numbers_B: Tensor, labels_B: Tensor, clean_B: Tensor) -> list[EmpiricalRow]:
    columns = zip(numbers_B.tolist(), labels_B.tolist(), clean_B.tolist(), strict=True)
    return [
        EmpiricalRow(idx=number, label=label, predict=predict, clean_correct=predict == label)
        for number, label, predict in columns
    ]


def _attacked_rows(
    rows: Sequence[EmpiricalRow], attack: Attack, attacked_B: Tensor, is_robust_B: Tensor, distance_B: Tensor
) -> list[EmpiricalRow]:
    columns = zip(rows, attacked_B.tolist(), is_robust_B.tolist(), distance_B.tolist(), strict=True)
    return [
        replace(row, attacked_predict=predict, robust=robust, distance=distance, attack=attack.name)
        for row, predict, robust, distance in columns
    ]
