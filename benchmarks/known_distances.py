"""False certificates about base classifiers whose smoothed boundary is exactly known. See `false_certificates`.

The classifiers divide the values of one pixel by planes. With Gaussian noise, the class above all planes and the class
below all planes are equally likely in the middle of the outermost planes. Below it the smoothed classifier returns
another class, so the middle is its boundary. Classes between the planes take votes from both. With one plane, the
one-sided bound is tight. With three planes, the paper's equation 2 is tight: both classes are half-spaces.

Discrete noise rounds the noisy pixel to whole levels. A plane between two levels is then exactly half-way.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from zoo.smoothing import (
    Anytime,
    AtRadius,
    Certificate,
    Certification,
    CertificationEngine,
    FixedSample,
    Noise,
    NoiseKey,
    NoisySampler,
    SamplingOptions,
    SmoothingSpec,
)
from zoo.smoothing.backends import Classes
from zoo.smoothing.stopping import StoppingRule

SIGMA, N0, LEVELS = 0.25, 20, 255
TOP = 1  # the class above all planes


@dataclass(frozen=True)
class Planes:
    """A base classifier of one pixel and an image in its top class.

    `at` are the planes in ascending order, and `level` is the image's pixel, in units of 1 / 255. `below` are the
    classes below the planes, from the lowest on.
    """

    at: tuple[float, ...]
    below: tuple[int, ...]
    level: int

    name, depends_on_batch_shape, draws_on = "planes", False, torch.device("cpu")

    @property
    def num_classes(self) -> int:
        return len(self.below) + 1

    def classify(self, x_BCHW: Tensor) -> Classes:
        planes = np.array(self.at) / LEVELS
        classes: Classes = np.array([*self.below, TOP])[np.searchsorted(planes, x_BCHW[:, 0, 0, 0].numpy())]
        return classes

    def distance(self, noise: Noise) -> float:
        """The distance from the image to the boundary of the smoothed classifier, on the [0, 1] pixel scale."""
        lowest, highest = (
            plane if noise == "gaussian" else math.ceil(plane) - 0.5 for plane in (self.at[0], self.at[-1])
        )
        return (self.level - (lowest + highest) / 2) / LEVELS


HALF_SPACE = Planes(at=(127.75,), below=(0,), level=153)
THREE_PLANES = Planes(at=(91.75, 111.75, 132.75), below=(2, 3, 0), level=153)  # p_A 0.63, p_B 0.17
PLURALITY = Planes(at=(91.75, 111.75, 132.75), below=(2, 3, 0), level=128)  # p_A 0.47, p_B 0.28

RULES: Mapping[str, Callable[[float, int], StoppingRule]] = {
    "fixed, clopper-pearson": lambda distance, n: FixedSample(n),
    "fixed, simultaneous": lambda distance, n: FixedSample(n, bound="simultaneous"),
    "at-radius, tangent-bets": lambda distance, n: AtRadius(math.nextafter(distance, math.inf), max_n=n),
    "anytime, tangent-bets": lambda distance, n: Anytime(n, 0.0),
}


def certificates(planes: Planes, rule: str, noise: Noise, *, alpha: float, n: int, runs: int) -> list[Certificate]:
    """The certificates of independent certifications of the image, with at most `n` draws each."""
    stopping = RULES[rule](planes.distance(noise), n)
    smoothing = SmoothingSpec(sigma=SIGMA, n0=N0, alpha=alpha, stopping=stopping, noise=noise)
    engine = CertificationEngine(NoisySampler(planes, SamplingOptions(batch_size=4096)))
    x_CHW = torch.full((1, 1, 1), planes.level / LEVELS)
    for run in range(runs):
        engine.admit(Certification(run, x_CHW, smoothing=smoothing, key=NoiseKey(1, run)))
    found: list[Certificate] = []
    while engine.num_open:
        found += [finished.result for finished in engine.step() if isinstance(finished.result, Certificate)]
    return found


def is_false(certificate: Certificate, distance: float) -> bool:
    """Whether it names another class than the top one, or claims more than the distance."""
    return certificate.label is not None and (certificate.label != TOP or certificate.radius > distance)
