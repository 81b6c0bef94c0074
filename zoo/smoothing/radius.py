"""Certified l2 radius from probabilities, and its inverse, in float64 with rounding to the safe side."""

from __future__ import annotations

import math

from scipy.special import ndtr, ndtri

from zoo.errors import CertificationError
from zoo.smoothing.arguments import checked_number, checked_radius, checked_sigma
from zoo.smoothing.bounds import ROUNDING_DOWN, ROUNDING_UP


def certified_radius(p_a_lower: float, sigma: float, *, p_b_upper: float | None = None) -> float:
    """L2 radius, on the [0, 1] pixel scale, within which the top class cannot change; rounded down.

    With `p_a_lower` alone, the runner-up is assumed to have the remaining probability: `sigma Phi^-1(p_A)`. With an
    upper bound of the runner-up's probability: `sigma / 2 (Phi^-1(p_A) - Phi^-1(p_B))`.

    Args:
        p_a_lower: Lower bound of the top class's probability.
        sigma: Standard deviation of the noise, on the [0, 1] pixel scale.
        p_b_upper: Upper bound of the probability of every other class.

    Source: Cohen et al. 2019, Theorem 1; the paper's equation 2.
    Raises: CertificationError unless 1/2 < p_a_lower < 1, or 0 < p_b_upper < p_a_lower < 1 if it is given; or if
    sigma is negative or not finite.

    >>> from zoo.smoothing.bounds import clopper_pearson_lower
    >>> from zoo.smoothing.radius import certified_radius
    >>> p_a_lower = clopper_pearson_lower(990, 1000, alpha=0.001)  # 990 of 1,000 draws voted for the class
    >>> round(certified_radius(p_a_lower, sigma=0.5), 4)
    0.989
    """
    sigma, p_a_lower = checked_sigma(sigma), checked_number("p_a_lower", p_a_lower)
    if p_b_upper is None:
        if not 0.5 < p_a_lower < 1:
            raise CertificationError(f"p_a_lower must be in (1/2, 1), got {p_a_lower}")
        return _down(sigma * _quantile_down(p_a_lower))
    p_b_upper = checked_number("p_b_upper", p_b_upper)
    if not 0 < p_b_upper < p_a_lower < 1:
        raise CertificationError(
            f"0 < p_b_upper < p_a_lower < 1 must hold, got p_b_upper={p_b_upper} and p_a_lower={p_a_lower}"
        )
    # Phi^-1(p_B) rounded up is minus the quantile of the mirrored problem rounded down.
    gap = _down(_quantile_down(p_a_lower) + _quantile_down_of_complement(p_b_upper))
    return _down(sigma / 2 * max(0.0, gap))


def probability_at(radius: float, sigma: float) -> float:
    """The smallest p_A for which `certified_radius` reaches `radius`: Phi(radius / sigma), rounded up.

    It is 1.0 if no number below 1 suffices.

    Raises: CertificationError if the radius is negative or not finite, or sigma is not positive.

    >>> from zoo.smoothing.radius import probability_at
    >>> round(probability_at(0.5, sigma=0.5), 4)
    0.8413
    """
    radius, sigma = checked_radius(radius), checked_sigma(sigma)
    if sigma == 0:
        raise CertificationError(
            "no radius can be certified at sigma 0, which is the clean classifier: sigma must be positive"
        )
    p = max(0.5, float(ndtr(radius / sigma)))
    while p < 1 and (certified_radius(p, sigma) if p > 0.5 else 0.0) < radius:
        p = math.nextafter(p * ROUNDING_UP, 1.0) if p * ROUNDING_UP < 1 else math.nextafter(p, 1.0)
    return p


def _quantile_down(p: float) -> float:
    """Phi^-1(p), rounded down."""
    quantile = float(ndtri(p))
    return _down(quantile * (ROUNDING_DOWN if quantile > 0 else ROUNDING_UP))


def _quantile_down_of_complement(p: float) -> float:
    """Phi^-1(1 - p) = -Phi^-1(p), rounded down."""
    quantile = -float(ndtri(p))
    return _down(quantile * (ROUNDING_DOWN if quantile > 0 else ROUNDING_UP))


def _down(value: float) -> float:
    """The next smaller float; 0 stays 0."""
    return max(0.0, math.nextafter(value, -math.inf)) if value >= 0 else math.nextafter(value, -math.inf)
