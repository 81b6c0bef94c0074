"""Robust label sets: classes that fit one noisy draw, with marginal coverage under a bounded change of the image."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from zoo.errors import CertificationError
from zoo.smoothing.arguments import checked_alpha, checked_radius, checked_sigma
from zoo.smoothing.noise import Draws, Noise, NoiseKey, Phase, Pixels, require_noise

if TYPE_CHECKING:
    from zoo.smoothing.backends import Logits

SCORE: Final = "negative-log-softmax"
# The last digits of logits may depend on the size of a batch. A larger set is safe, a smaller one is not.
SCORE_MARGIN = 1e-4

Scores = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelSetSpec:
    """The guarantee of a calibrated label set, and the threshold that gives it.

    Args:
        radius: Largest l2 norm of a change of the image, on the [0, 1] pixel scale.
        alpha: Upper bound of the probability that a set lacks the true class, over images, calibration and noise.
        sigma: Standard deviation of the noise, on the [0, 1] pixel scale; positive.
        noise: "gaussian" or "discrete".
        threshold: The largest score of a class in the set.
        num_calibration_images: Number of images behind the threshold.
        task: The task of these images. The guarantee is about images like them.
        backend: The backend that computed the scores.

    Raises: CertificationError if a value is outside its range.
    """

    radius: float
    alpha: float
    sigma: float
    noise: Noise
    threshold: float
    num_calibration_images: int
    task: str
    backend: str

    def __post_init__(self) -> None:
        checked_radius(self.radius)
        checked_alpha(self.alpha)
        if checked_sigma(self.sigma) == 0:
            raise CertificationError("a label set needs noise: sigma must be positive")
        require_noise(self.noise, sigma=self.sigma)
        if not math.isfinite(self.threshold):
            raise CertificationError(f"threshold must be finite, got {self.threshold}")

    def require_conditions(self, *, sigma: float, noise: str, backend: str) -> None:
        """Raises CertificationError unless the calibration was made with this noise and this backend."""
        calibrated, current = (self.sigma, self.noise, self.backend), (sigma, noise, backend)
        for name, was, now in zip(("sigma", "noise", "backend"), calibrated, current, strict=True):
            if was != now:
                raise CertificationError(
                    f"the calibration of the label sets was made with {name} {was}, not {now}, so its sets have no "
                    f"guarantee here: use {name} {was}, or calibrate again with zoo calibrate"
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelSet:
    """The classes that fit one noisy copy of an image.

    Guarantee: the set contains the true class with probability at least `1 - alpha`, although someone who did not see
    the noise changed the image by up to `radius`. The probability is over the choice of the image, the calibration
    images and the noise together ("marginal"). It is not a statement about this image, unlike a certificate: for a hard
    image the probability may be far below `1 - alpha`.

    Attributes:
        labels: The classes, the one with the smallest score first. The set may be empty.
        spec: The guarantee, with its radius and alpha.
        input: Description of the tensor that the noise was added to.
        backend: The backend that computed the scores.
        class_names: The names of `labels` in their order, if names are known.
    """

    labels: tuple[int, ...]
    spec: LabelSetSpec
    input: str
    backend: str
    class_names: tuple[str, ...] | None = None

    @property
    def n(self) -> int:
        """The number of draws."""
        return 1


def one_draw(x_CHW: Pixels, *, sigma: float, noise: Noise, key: NoiseKey) -> Draws:
    """The one noisy copy behind a score or a set, of which the logits are read."""
    return Draws(x_CHW, sigma, noise, key, Phase.ESTIMATION, 0, 1, reads_logits=True)


def label_scores(logits_MK: Logits) -> Scores:
    """The score of each class on each noisy copy, `scores_MK`: minus the logarithm of its softmax.

    A set by this score is the set of the classes whose softmax is large enough (Sadinle, Lei and Wasserman 2019, least
    ambiguous set-valued classifiers), which is the smallest on average if the softmax is the true probability. The
    logarithm keeps probabilities apart that are equal to 0 or to 1 in floating point.
    """
    shifted_MK = logits_MK.astype(np.float64) - logits_MK.max(axis=1, keepdims=True)
    scores_MK: Scores = np.log(np.exp(shifted_MK).sum(axis=1, keepdims=True)) - shifted_MK
    return scores_MK


def labels_within(scores_K: Scores, threshold: float) -> tuple[int, ...]:
    """The classes with a score of at most the threshold plus `SCORE_MARGIN`, the smallest score first."""
    order_K = np.argsort(scores_K, kind="stable")
    return tuple(order_K[scores_K[order_K] <= threshold + SCORE_MARGIN].tolist())
