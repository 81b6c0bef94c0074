"""Stopping rules by name, as a command line or a request asks for them."""

from __future__ import annotations

from zoo.errors import RequestError, UnknownNameError
from zoo.smoothing.stopping import Anytime, AtRadius, FixedSample, StoppingRule

FIXED, ANYTIME, AT_RADIUS = RULES = ("fixed", "anytime", "at-radius")


def rule_from(
    name: str, *, n: int, radius: float | None = None, tolerance: float | None = None
) -> FixedSample | Anytime | AtRadius:
    """The stopping rule called `name`: exactly `n` draws for "fixed", at most `n` for the others.

    `radius` is the one that "at-radius" decides; `tolerance` belongs to "anytime", whose own is taken unless it is
    given. Both on the [0, 1] pixel scale.
    Raises: RequestError if the name is another, or comes without what it needs or with what another needs;
    CertificationError if a value is outside its range.
    """
    if name not in RULES:
        raise UnknownNameError("stopping rule", name, RULES)
    if name == AT_RADIUS and radius is None:
        raise RequestError("the stopping rule at-radius decides whether one radius holds: give the radius too")
    if name != AT_RADIUS and radius is not None:
        raise RequestError(f"radius {radius:g} goes with the stopping rule at-radius only, not with {name}")
    if name != ANYTIME and tolerance is not None:
        raise RequestError(f"tolerance {tolerance:g} goes with the stopping rule anytime only, not with {name}")
    if radius is not None:
        return AtRadius(radius, max_n=n)
    if name == ANYTIME:
        return Anytime(max_n=n) if tolerance is None else Anytime(max_n=n, tolerance=tolerance)
    return FixedSample(n)


def tolerance_of(rule: StoppingRule) -> float | None:
    """The tolerance of an anytime rule; no other has one."""
    return rule.tolerance if isinstance(rule, Anytime) else None
