"""Thresholds of robust label sets, with rounding to the safe side.

A score says how badly a class fits a noisy copy of an image. The set of an image contains the classes with a score of
at most a threshold, on one noisy copy. Let beta be the probability over the noise that the set contains the true class
of an image. Someone who changes the image by at most r in l2, without knowing the noise, lowers beta to
Phi(Phi^-1(beta) - r / sigma) at most (the lemma of Neyman and Pearson, as in Cohen et al. 2019). This function is
increasing and convex, so Jensen's inequality applies to its mean over images and calibration sets. If the mean of beta
is at least 1 - alpha' with Phi^-1(1 - alpha') = Phi^-1(1 - alpha) + r / sigma, the attacked mean is at least 1 - alpha.
Split conformal prediction gives the mean of beta: m calibration images and a new image are exchangeable, so the
k-th smallest of the m scores is at least the new score with probability k / (m + 1) or more.

Golden numbers (sigma = 0.5, alpha = 0.1): 1 - alpha' is 0.9626, 0.9887 and 0.9995 for r = 0.25, 0.5 and 1.

Source: RCP1, arXiv 2506.16553; Vovk et al. 2005 for split conformal prediction.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

from scipy.special import ndtr, ndtri

from zoo.errors import CertificationError
from zoo.smoothing.arguments import checked_alpha, checked_radius, checked_sigma

# SciPy's errors are smaller: a few units in the last place of Phi^-1, which Phi multiplies by at most 40^2 in its tail.
QUANTILE_ERROR = 2**-48
RELATIVE_ERROR = 2**-36
MOST_IMAGES = 10**12


def alpha_before_change(alpha: float, *, radius: float, sigma: float) -> float:
    """The failure probability alpha' on unchanged images that becomes `alpha` under changes up to `radius`.

    It is rounded down, to 0.0 if the number is too small for a float.

    Args:
        alpha: The failure probability under the worst change, in (0, 1).
        radius: Largest l2 norm of a change, on the [0, 1] pixel scale.
        sigma: Standard deviation of the noise, on the [0, 1] pixel scale.

    Raises: CertificationError if a value is outside its range, or sigma is 0.

    >>> from zoo.smoothing.conformal import alpha_before_change
    >>> round(1 - alpha_before_change(0.1, radius=0.25, sigma=0.5), 4)
    0.9626
    """
    alpha, radius, sigma = checked_alpha(alpha), checked_radius(radius), checked_sigma(sigma)
    if sigma == 0:
        raise CertificationError("a label set needs noise: sigma must be positive")
    if radius == 0:
        return alpha
    quantile, shift = float(ndtri(alpha)), radius / sigma
    lower = quantile - shift - QUANTILE_ERROR * (abs(quantile) + shift)
    return float(ndtr(lower)) * (1 - RELATIVE_ERROR)


def num_images_needed(alpha: float) -> int | None:
    """The fewest calibration images for a failure probability `alpha`: the smallest m with m + 1 >= 1 / alpha.

    None if alpha is 0.

    >>> from zoo.smoothing.conformal import num_images_needed
    >>> num_images_needed(0.1)
    9
    """
    return None if alpha == 0 else math.ceil(1 / Fraction(alpha)) - 1


def calibrated_threshold(scores: Sequence[float], *, alpha: float, radius: float, sigma: float) -> float:
    """The threshold: the ceil((m + 1) (1 - alpha'))-th smallest of the m scores.

    The rank is computed from alpha' in exact arithmetic. Of equal scores, each has a rank of its own.

    Args:
        scores: One score per calibration image, that of its true class on one noisy copy.
        alpha, radius, sigma: As in `alpha_before_change`.

    Raises: CertificationError if there are fewer scores than `num_images_needed`, or a score is not finite.
    """
    if not all(map(math.isfinite, scores)):
        raise CertificationError("the scores of a calibration must be finite")
    reduced = require_enough_images(len(scores), alpha=alpha, radius=radius, sigma=sigma)
    num_above = math.floor((len(scores) + 1) * Fraction(reduced))
    return sorted(scores)[len(scores) - num_above]


def require_enough_images(num_images: int, *, alpha: float, radius: float, sigma: float) -> float:
    """`alpha_before_change`, if so many calibration images are enough for it.

    Raises: CertificationError that names `num_images_needed` if they are too few.
    """
    reduced = alpha_before_change(alpha, radius=radius, sigma=sigma)
    needed = num_images_needed(reduced)
    request = f"radius {radius:g} at alpha={alpha:g} and sigma={sigma:g}"
    if needed is None or needed > MOST_IMAGES:
        raise CertificationError(f"no calibration set is large enough for {request}: choose a smaller radius")
    if num_images < needed:
        raise CertificationError(
            f"{num_images:,} calibration images are too few for {request}: at least {needed:,} images are needed; "
            "choose more images, a smaller radius or a larger alpha"
        )
    return reduced
