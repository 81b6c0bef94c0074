"""Certified accuracy as a step function of the radius, with its interval at each step, and the radii of each class."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from decimal import ROUND_DOWN, Decimal

from zoo.leaderboard.row import ClassRadii
from zoo.results.balanced_accuracy import MOST_LISTED
from zoo.results.log import CertificationRow, common_radius_asked
from zoo.results.summary import binomial_interval

DIGITS = 6


def counts_of(rows: Sequence[CertificationRow]) -> tuple[tuple[float, int], ...]:
    """For each radius of a correct row, in increasing order: how many rows are correct with at least this radius."""
    at = Counter(row.radius for row in rows if row.correct)
    left, counts = sum(at.values()), []
    for radius in sorted(at):
        counts.append((radius, left))
        left -= at[radius]
    return tuple(counts)


def steps_of(counts: Sequence[tuple[float, int]], *, num_images: int) -> tuple[tuple[float, float, float, float], ...]:
    """The steps (radius, share, low, high) of the counts; radii are rounded down, so no step claims a larger one."""
    steps: dict[float, tuple[float, float, float, float]] = {}
    for radius, count in counts:
        share, (low, high) = count / num_images, binomial_interval(count, num_images)
        rounded = _rounded_down(radius)
        if rounded not in steps:  # of equal radii the first has the largest count
            steps[rounded] = (rounded, round(share, DIGITS), round(low, DIGITS), round(high, DIGITS))
    return tuple(steps.values())


def count_at(counts: Sequence[tuple[float, int]], radius: float) -> int:
    """How many images are correct with at least `radius`."""
    return next((count for least, count in counts if least >= radius), 0)


def mean_radius(counts: Sequence[tuple[float, int]], *, num_images: int) -> float:
    """The average certified radius: the area below the steps."""
    lasts = [*(count for _, count in counts[1:]), 0]
    return (
        math.fsum(radius * (count - after) for (radius, count), after in zip(counts, lasts, strict=True)) / num_images
    )


def classes_of(rows: Sequence[CertificationRow], names: Sequence[str]) -> tuple[ClassRadii, ...]:
    """The radii of each class; empty for more classes than a table lists, and for a rule that decides one radius."""
    labels = sorted({row.label for row in rows})
    if len(labels) > MOST_LISTED or common_radius_asked(rows) is not None:
        return ()
    return tuple(
        ClassRadii(
            name=names[label] if label < len(names) else str(label),
            num_images=sum(row.label == label for row in rows),
            radii=tuple(sorted(_rounded_down(row.radius) for row in rows if row.correct and row.label == label)),
        )
        for label in labels
    )


def _rounded_down(radius: float) -> float:
    return float(Decimal(repr(radius)).quantize(Decimal(10) ** -DIGITS, rounding=ROUND_DOWN))
