"""Shares on the screen: percent with one decimal. JSON has fractions."""

from __future__ import annotations


def percent(share: float) -> str:
    """A share in [0, 1] as percent."""
    return f"{100 * share:.1f} %"


def percents(interval: tuple[float, float]) -> str:
    """An interval of shares as percent."""
    return f"{100 * interval[0]:.1f} to {100 * interval[1]:.1f} %"
