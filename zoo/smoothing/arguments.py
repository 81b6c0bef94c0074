"""Validated arguments as plain Python numbers.

Plain numbers are required for soundness: with NumPy's float32, the bounds would be computed in float32.
"""

from __future__ import annotations

import math
import numbers

from zoo.errors import CertificationError

# Below this alpha, SciPy's inverse of the incomplete beta function is inaccurate and errs upwards.
SMALLEST_ALPHA = 1e-100
SMALLEST_SIGMA, LARGEST_SIGMA = 1e-4, 100.0
# The index of a draw has 31 bits in the device's counter.
MOST_DRAWS = 2**31 - 1


def checked_number(name: str, value: object) -> float:
    """The value as a float. Raises: CertificationError if it is not a real number. NaN and infinity are accepted."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise CertificationError(f"{name} must be a number, got {value!r}")
    return float(value)


def checked_count(name: str, value: object, *, least: int = 1) -> int:
    """The value as an int. Raises: CertificationError unless it is an integer of at least `least` and 31 bits."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise CertificationError(f"{name} must be an integer, got {value!r}")
    count = int(value)
    if not least <= count <= MOST_DRAWS:
        bound = f"at least {least}" if count < least else f"at most {MOST_DRAWS}"
        raise CertificationError(f"{name} must be {bound}, got {count}")
    return count


def checked_alpha(value: object) -> float:
    """Alpha as a float. Raises: CertificationError unless it is in [1e-100, 1), where the bounds are accurate."""
    alpha = checked_number("alpha", value)
    if not 0 < alpha < 1:
        raise CertificationError(f"alpha must be in (0, 1), got {alpha}")
    if alpha < SMALLEST_ALPHA:
        raise CertificationError(f"alpha must be at least {SMALLEST_ALPHA:g}, got {alpha}")
    return alpha


def checked_sigma(value: object) -> float:
    """Sigma as a float. Raises: CertificationError unless it is 0 or in [1e-4, 100].

    Noise below 1e-4 would be lost in float32 pixels.
    """
    sigma = checked_number("sigma", value)
    if not (math.isfinite(sigma) and sigma >= 0):
        raise CertificationError(f"sigma must be finite and at least 0, got {sigma}")
    if 0 < sigma < SMALLEST_SIGMA:
        raise CertificationError(
            f"sigma must be 0 or at least {SMALLEST_SIGMA:g}, got {sigma}: float32 pixels would absorb the noise"
        )
    if sigma > LARGEST_SIGMA:
        raise CertificationError(f"sigma must be at most {LARGEST_SIGMA:g} for pixels in [0, 1], got {sigma}")
    return sigma


def checked_radius(value: object) -> float:
    """The radius as a float. Raises: CertificationError unless it is finite and at least 0."""
    radius = checked_number("radius", value)
    if not (math.isfinite(radius) and radius >= 0):
        raise CertificationError(f"radius must be finite and at least 0, got {radius}")
    return radius
