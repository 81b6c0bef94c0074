"""What callers hand in, as plain Python numbers, or one clear sentence.

Plain numbers also for the sake of soundness: with NumPy's float32 the arithmetic of bounds would be that of float32.
"""

from __future__ import annotations

import math
import numbers

from zoo.errors import CertificationError

# Below it SciPy's inverse of the incomplete beta function is no longer accurate, and errs upwards.
SMALLEST_ALPHA = 1e-100
SMALLEST_SIGMA, LARGEST_SIGMA = 1e-4, 100.0
# A draw's index takes 31 bits of the device's counter.
MOST_DRAWS = 2**31 - 1


def checked_number(name: str, value: object) -> float:
    """The value as a float. Raises: CertificationError if it is no real number; NaN and infinity pass."""
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
    """Raises CertificationError unless alpha is a probability that the bounds are accurate for."""
    alpha = checked_number("alpha", value)
    if not 0 < alpha < 1:
        raise CertificationError(f"alpha must be in (0, 1), got {alpha}")
    if alpha < SMALLEST_ALPHA:
        raise CertificationError(f"alpha must be at least {SMALLEST_ALPHA:g}, got {alpha}")
    return alpha


def checked_sigma(value: object) -> float:
    """Raises CertificationError unless sigma is a noise level: 0, or large enough to survive float32 and no larger than
    any use has."""
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
    """Raises CertificationError unless the radius is finite and at least 0."""
    radius = checked_number("radius", value)
    if not (math.isfinite(radius) and radius >= 0):
        raise CertificationError(f"radius must be finite and at least 0, got {radius}")
    return radius
