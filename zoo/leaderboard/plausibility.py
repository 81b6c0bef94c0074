"""Contradictions between the numbers of one result, found without its log.

A share is a fraction of the images, its interval follows from it, certified accuracy falls with the radius, and no
radius exceeds what sigma, n and alpha allow.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import cast

from zoo.models.measurements import CertificationResult
from zoo.results.summary import Interval, binomial_interval
from zoo.smoothing.named_rules import FIXED, UNNAMED_BOUND
from zoo.smoothing.stopping import Bound, FixedSample, Tally

# Sums are rounded, and the bounds' last digits differ between machines.
CLOSE = 1e-9

Point = tuple[float, float]
"""A radius and the certified accuracy there."""


def largest_radius(
    *, sigma: float | None, n: int | None, alpha: float | None, stopping: str | None, bound: str | None
) -> float | None:
    """The radius that the rule `fixed` certifies if all n draws agree; None for other rules or unknown conditions."""
    if stopping != FIXED or sigma is None or n is None or alpha is None:
        return None
    rule = FixedSample(n, bound=cast("Bound", bound or UNNAMED_BOUND[FIXED]))  # it checks its bound
    return rule.prove(Tally(count_a=n, count_b=0, n=n), radius=None, sigma=sigma, alpha=alpha).radius or 0.0


def result_faults(result: CertificationResult) -> Iterator[str]:
    """One sentence per contradiction between the numbers of a certified result."""
    shares: list[tuple[str, float, Interval | None]] = [
        (f"certified accuracy at {point.at}", point.accuracy, (point.low, point.high))
        for point in result.certified_accuracy
    ]
    if result.standard_accuracy is not None:
        shares.append(("standard accuracy", result.standard_accuracy, result.standard_accuracy_interval))
    for name, share, interval in [*shares, ("abstention rate", result.abstention_rate, None)]:
        yield from share_faults(name, share, interval, num_images=result.num_images)
    ceiling = largest_radius(
        sigma=result.sigma, n=result.n, alpha=result.alpha, stopping=result.stopping, bound=result.bound
    )
    points = [(point.radius, point.accuracy) for point in result.certified_accuracy]
    yield from order_faults(points, result.standard_accuracy, result.abstention_rate, ceiling=ceiling)
    yield from mean_faults(points, result.standard_accuracy, result.average_certified_radius, ceiling=ceiling)


def share_faults(name: str, share: float, interval: Interval | None, *, num_images: int) -> Iterator[str]:
    """A share that is not a fraction of the images, or whose 95 % interval does not follow from it."""
    count = share * num_images
    if abs(count - round(count)) > CLOSE * num_images:
        yield f"{name} {share} is not a fraction of {num_images} images"
    elif interval is not None:
        expected = binomial_interval(round(count), num_images)
        if any(abs(end - exact) > CLOSE for end, exact in zip(interval, expected, strict=True)):
            yield f"interval of the {name} is {interval}, but {share} of {num_images} images give {expected}"


def order_faults(
    points: Sequence[Point],
    standard_accuracy: float | None,
    abstention_rate: float | None,
    *,
    ceiling: float | None,
    slack: float = CLOSE,
) -> Iterator[str]:
    """Certified accuracy that rises with the radius, exceeds standard accuracy, or is above 0 beyond the ceiling."""
    known = [*([] if standard_accuracy is None else [(0.0, standard_accuracy)]), *sorted(points)]
    for (radius, share), (larger, share_there) in pairwise(known):
        if share_there > share + slack:
            yield f"certified accuracy is {share_there} at radius {larger}, but only {share} at {radius}"
    for radius, share in points:
        if ceiling is not None and radius > ceiling and share > slack:
            yield f"certified accuracy is {share} at radius {radius}, but sigma, n and alpha allow at most {ceiling}"
    if standard_accuracy is not None and (abstention_rate or 0) + standard_accuracy > 1 + slack:
        yield f"standard accuracy {standard_accuracy} and abstention rate {abstention_rate} add up to more than 1"


def mean_faults(
    points: Sequence[Point],
    standard_accuracy: float | None,
    mean: float | None,
    *,
    ceiling: float | None,
    slack: float = CLOSE,
) -> Iterator[str]:
    """An average certified radius below or above what the certified accuracies allow."""
    if mean is None:
        return
    ordered = sorted(points)
    steps = zip([0.0, *(radius for radius, _ in ordered)], ordered, strict=False)
    least = sum((radius - before) * share for before, (radius, share) in steps)
    if mean < least - max(slack, slack * least):
        yield f"average certified radius {mean} is below {least}, which the certified accuracies imply"
    most = None if ceiling is None or standard_accuracy is None else ceiling * standard_accuracy
    if most is not None and mean > most + max(slack, slack * most):
        yield f"average certified radius {mean} is above {most}, the most that sigma, n, alpha and accuracy allow"
