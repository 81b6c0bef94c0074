"""Stopping rules and their bounds by name, as on the command line, in requests and in logs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, cast

from zoo.errors import RequestError, UnknownNameError
from zoo.smoothing.stopping import (
    CLOPPER_PEARSON,
    SIMULTANEOUS,
    TANGENT_BETS,
    Anytime,
    AtRadius,
    Bound,
    FixedSample,
    StoppingRule,
)

FIXED, ANYTIME, AT_RADIUS = RULES = ("fixed", "anytime", "at-radius")
BETA_MIXTURE: Final = "beta-mixture"
BOUNDS: Mapping[str, tuple[str, ...]] = {
    FIXED: (CLOPPER_PEARSON, SIMULTANEOUS),
    ANYTIME: (TANGENT_BETS, BETA_MIXTURE),
    AT_RADIUS: (TANGENT_BETS, BETA_MIXTURE),
}
"""The bounds under each rule, in certificates and in logs."""
UNNAMED_BOUND: Mapping[str, str] = {FIXED: CLOPPER_PEARSON, ANYTIME: BETA_MIXTURE, AT_RADIUS: BETA_MIXTURE}
"""The bound of a log or a card that names none, because an earlier version wrote it."""


def rule_from(
    name: str, *, n: int, radius: float | None = None, tolerance: float | None = None, bound: str | None = None
) -> FixedSample | Anytime | AtRadius:
    """The stopping rule with the given name.

    Args:
        name: "fixed", "anytime" or "at-radius".
        n: Exactly this many draws for "fixed", at most this many for the others.
        radius: The radius that "at-radius" tests, on the [0, 1] pixel scale. Required there, rejected for other rules.
        tolerance: The tolerance of "anytime", on the [0, 1] pixel scale. Rejected for other rules.
        bound: The bound of "fixed": "clopper-pearson" (the default) or "simultaneous". Rejected for other rules.

    Raises: RequestError if the name is unknown, or a parameter is missing or belongs to another rule;
    CertificationError if a value is outside its range.
    """
    if name not in RULES:
        raise UnknownNameError("stopping rule", name, RULES)
    if name == AT_RADIUS and radius is None:
        raise RequestError("the stopping rule at-radius requires the radius to test")
    if name != AT_RADIUS and radius is not None:
        raise RequestError(f"radius {radius:g} applies only to the stopping rule at-radius, not to {name}")
    if name != ANYTIME and tolerance is not None:
        raise RequestError(f"tolerance {tolerance:g} applies only to the stopping rule anytime, not to {name}")
    if name != FIXED and bound is not None:
        raise RequestError(f"bound {bound} applies only to the stopping rule fixed, not to {name}")
    if radius is not None:
        return AtRadius(radius, max_n=n)
    if name == ANYTIME:
        return Anytime(max_n=n) if tolerance is None else Anytime(max_n=n, tolerance=tolerance)
    return FixedSample(n) if bound is None else FixedSample(n, bound=cast("Bound", bound))  # it checks its bound


def tolerance_of(rule: StoppingRule) -> float | None:
    """The tolerance of an anytime rule; None for other rules."""
    return rule.tolerance if isinstance(rule, Anytime) else None
