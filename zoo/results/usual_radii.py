"""The radii at which a report gives certified accuracy, unless others are requested."""

from __future__ import annotations

import math
from collections.abc import Sequence

from zoo.results.bounded_mean import radius_ceiling
from zoo.results.log import CertificationRow

FEWEST = 3
"""The radii above 0 are at least so many."""
STEPS = (1.0, 0.5, 0.25)
LARGEST_KNOWN = 8.0
"""A ceiling above this multiple of sigma is that of a rule which determines n while drawing: it says nothing."""


def usual_radii(rows: Sequence[CertificationRow]) -> tuple[float, ...]:
    """0 and the multiples of a round step that the log's sigma and draws can reach, three to six of them.

    For sigma 0.5 and 100,000 draws these are the papers' 0, 0.5, 1, 1.5. The largest possible radius is that of n equal
    votes. A log that does not determine it, as one of published columns, has its largest radius instead.
    """
    reach = _reach(rows)
    if not 0 < reach < math.inf:
        return (0.0,)
    step = next(step for step in _steps() if FEWEST * step <= reach)
    return tuple(round(index * step, 6) for index in range(int(reach / step) + 1))


def _reach(rows: Sequence[CertificationRow]) -> float:
    largest = max((row.radius for row in rows), default=0.0)
    ceiling = radius_ceiling(rows) if rows else None
    sigmas = [row.provenance.sigma for row in rows if row.provenance is not None]
    if ceiling is None or ceiling > LARGEST_KNOWN * max(sigmas):
        return largest
    return ceiling


def _steps() -> list[float]:
    """10, 5, 2.5, 1, 0.5, 0.25, 0.1 and so on."""
    return [step * 10.0**power for power in range(1, -6, -1) for step in STEPS]
