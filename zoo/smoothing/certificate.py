"""What is asked of a certificate, and what it says. Numbers only, no tensors."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from scipy.special import ndtri

from zoo.errors import CertificationError
from zoo.smoothing.bounds import ROUNDING_DOWN, least_n, require_alpha
from zoo.smoothing.stopping import FixedSample, StoppingRule

Noise = Literal["gaussian"]
SMALLEST_SIGMA = 1e-4


@dataclass(frozen=True, slots=True, kw_only=True)
class SmoothingSpec:
    """What defines a guarantee: the noise, the draws and the failure probability.

    The class is chosen from `n0` draws; the bound comes from `n` further draws. `sigma` is on the [0, 1] pixel
    scale. A wrong certificate has probability at most `alpha`. sigma 0 is the clean classifier: one evaluation (`n0`
    0, `n` 1 whatever was given), radius 0.

    Raises: CertificationError if a value is outside its range, or `n` can never certify at `alpha`.
    """

    sigma: float
    n0: int = 100
    n: int = 100_000
    alpha: float = 0.001

    def __post_init__(self) -> None:
        require_sigma(self.sigma)
        require_alpha(self.alpha)
        for name, value in (("n0", self.n0), ("n", self.n)):
            if not isinstance(value, int) or isinstance(value, bool):
                raise CertificationError(f"{name} must be an integer, got {value!r}")
        if self.sigma == 0:
            object.__setattr__(self, "n0", 0)
            object.__setattr__(self, "n", 1)
            return
        if self.n0 < 1:
            raise CertificationError(f"n0 must be at least 1, got {self.n0}")
        least = least_n(self.alpha)
        if self.n < least:
            raise CertificationError(
                f"n={self.n} can never certify at alpha={self.alpha:g}, even if all draws agree: the least n is {least}"
            )

    @property
    def stopping(self) -> StoppingRule:
        return FixedSample(self.n)


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """With probability at least `1 - alpha` over the noise drawn, the smoothed classifier answers `label` everywhere
    within l2 distance `radius` (on the [0, 1] pixel scale) of the tensor that was certified.

    `label` None means: abstained, and nothing is claimed (radius 0). `count_a` of the `n` draws named the class that
    the `n0` selection draws had chosen, whether it was certified or not.
    """

    label: int | None
    radius: float
    p_a_lower: float
    count_a: int
    sigma: float
    n0: int
    n: int
    alpha: float
    stopping: str = "fixed"
    bound: str = "clopper-pearson"
    noise: Noise = "gaussian"
    norm: str = "l2"

    @property
    def abstained(self) -> bool:
        return self.label is None


def certified_radius(p_a_lower: float, sigma: float) -> float:
    """L2 radius, on the [0, 1] pixel scale, within which the top class cannot change; rounded down.

    Source: Cohen et al. 2019, Theorem 1 with p_B = 1 - p_a_lower.
    Raises: CertificationError if p_a_lower is not in (1/2, 1), or sigma is negative or not finite.
    """
    if not 0.5 < p_a_lower < 1:
        raise CertificationError(f"p_a_lower must be in (1/2, 1), got {p_a_lower}")
    require_sigma(sigma)
    return max(0.0, math.nextafter(sigma * float(ndtri(p_a_lower)) * ROUNDING_DOWN, -math.inf))


def conclude(label: int, count_a: int, num_drawn: int, spec: SmoothingSpec) -> Certificate:
    """The certificate after `count_a` of `num_drawn` fresh draws named `label`; abstains unless p_A's bound exceeds
    1/2.

    Source: Cohen et al. 2019, CERTIFY.
    """
    if spec.sigma == 0:
        p_a_lower, radius = 1.0, 0.0
    else:
        p_a_lower = spec.stopping.p_a_lower(count_a, num_drawn, spec.alpha)
        radius = certified_radius(p_a_lower, spec.sigma) if p_a_lower > 0.5 else 0.0
    return Certificate(
        label=label if p_a_lower > 0.5 else None,
        radius=radius,
        p_a_lower=p_a_lower,
        count_a=count_a,
        sigma=spec.sigma,
        n0=spec.n0,
        n=num_drawn,
        alpha=spec.alpha,
        stopping=spec.stopping.name,
    )


def require_sigma(sigma: float) -> None:
    """Raises CertificationError unless sigma is a noise level: finite, and 0 or large enough to survive float32."""
    if not (math.isfinite(sigma) and sigma >= 0):
        raise CertificationError(f"sigma must be finite and at least 0, got {sigma}")
    if 0 < sigma < SMALLEST_SIGMA:
        raise CertificationError(
            f"sigma must be 0 or at least {SMALLEST_SIGMA:g}, got {sigma}: float32 pixels would absorb the noise"
        )
