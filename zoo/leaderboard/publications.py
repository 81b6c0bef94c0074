"""Rows of published results, and the contradictions in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from zoo.leaderboard.curves import classes_of, count_at, counts_of, mean_radius, steps_of
from zoo.leaderboard.plausibility import CLOSE, Point, largest_radius, mean_faults, order_faults
from zoo.leaderboard.published import PublishedResult, Step
from zoo.leaderboard.row import Conditions, Row, Trace, Value
from zoo.results.log import ABSTAIN, CertificationRow
from zoo.results.summary import binomial_interval

# Published logs print radii with three significant digits or more, rounded to nearest.
ROUNDING_OF_RADII = 0.005


def published_faults(published: PublishedResult, rows: Sequence[CertificationRow] | None) -> list[str]:
    """One sentence per number of the document that contradicts another number, its curve or the rows of its log."""
    points: list[Point] = [(point.radius, point.accuracy) for point in published.certified_accuracy]
    ceiling, slack = _ceiling(published), published.precision or CLOSE
    accuracy, mean = published.standard_accuracy, published.average_certified_radius
    faults = [*order_faults(points, accuracy, published.abstention_rate, ceiling=ceiling, slack=slack)]
    faults += mean_faults(points, accuracy, mean, ceiling=ceiling, slack=max(slack, ROUNDING_OF_RADII))
    counts = _counts(published, rows)
    if counts is not None:
        faults += _of_counts(published, counts, ceiling=ceiling)
    if rows is not None:
        faults += _of_rows(published, rows)
    return faults


def published_row(published: PublishedResult, rows: Sequence[CertificationRow] | None, *, trace: Trace) -> Row:
    """The row of a document whose numbers do not contradict each other or its log."""
    counts, num_images = _counts(published, rows), published.images.num_images
    return Row(
        name=published.name,
        status="reported",
        evidence="log" if rows is not None else "document" if counts is None else "curve",
        method=published.method,
        architecture=published.architecture,
        num_parameters=published.num_parameters,
        sigma=published.sigma,
        conditions=_conditions(published),
        standard_accuracy=_share(published, published.standard_accuracy),
        average_certified_radius=_without_interval(published.average_certified_radius),
        abstention_rate=_share(published, published.abstention_rate),
        curve=None if counts is None else steps_of(counts, num_images=num_images),
        points=tuple(_points(published)),
        classes=() if rows is None else classes_of(rows, ()),
        hyper_parameters=published.hyper_parameters,
        notes=published.notes,
        trace=trace,
    )


def _ceiling(published: PublishedResult) -> float | None:
    exact = largest_radius(
        sigma=published.sigma,
        n=published.n,
        alpha=published.alpha,
        stopping=published.stopping,
        bound=published.bound,
    )
    return None if exact is None else exact * (1 + ROUNDING_OF_RADII)


def _counts(published: PublishedResult, rows: Sequence[CertificationRow] | None) -> tuple[Step, ...] | None:
    return published.curve if rows is None else counts_of(rows)


def _of_counts(published: PublishedResult, counts: Sequence[Step], *, ceiling: float | None) -> Iterator[str]:
    """Numbers that the counts of the curve contradict."""
    num_images, slack = published.images.num_images, published.precision or CLOSE
    for point in published.certified_accuracy:
        counted = count_at(counts, point.radius) / num_images
        if abs(point.accuracy - counted) > slack:
            yield f"certified accuracy at {point.radius}: the document says {point.accuracy}, the log gives {counted}"
    accuracy = (counts[0][1] if counts else 0) / num_images
    if published.standard_accuracy is not None and abs(published.standard_accuracy - accuracy) > slack:
        yield f"standard accuracy: the document says {published.standard_accuracy}, the log gives {accuracy}"
    claimed, mean = published.average_certified_radius, mean_radius(counts, num_images=num_images)
    if claimed is not None and abs(claimed - mean) > max(slack, CLOSE):
        yield f"average certified radius: the document says {claimed}, the log gives {mean}"
    if ceiling is not None and counts and counts[-1][0] > ceiling:
        yield f"the log has a radius of {counts[-1][0]}, but sigma, n and alpha allow at most {ceiling}"


def _of_rows(published: PublishedResult, rows: Sequence[CertificationRow]) -> Iterator[str]:
    """Numbers of images and of abstentions that the rows contradict, and a curve that is not theirs."""
    images, indices = published.images, sorted(row.idx for row in rows)
    if len(rows) != images.num_images:
        yield f"the document says {images.num_images} images, the log has {len(rows)} rows"
    elif images.skip is not None and indices != [images.skip * place for place in range(len(rows))]:
        yield f"the document says every {images.skip}th image, but the log has other images"
    abstained = sum(row.predict == ABSTAIN for row in rows) / len(rows)
    if published.abstention_rate is not None and abs(published.abstention_rate - abstained) > CLOSE:
        yield f"abstention rate: the document says {published.abstention_rate}, the log gives {abstained}"
    if published.curve is not None and published.curve != counts_of(rows):
        yield "the curve of the document is not that of the log"


def _conditions(published: PublishedResult) -> Conditions:
    names = ("norm", "noise", "n0", "n", "alpha", "stopping", "bound")
    stated = {name: getattr(published, name) for name in names}
    return Conditions(**dict(published.images), **stated, image_seed=None, radius_asked=None, tolerance=None)


def _share(published: PublishedResult, share: float | None) -> Value | None:
    """The share with its interval over images, unless the source prints it too coarsely."""
    if share is None or published.precision is not None:
        return _without_interval(share)
    num_images = published.images.num_images
    low, high = binomial_interval(round(share * num_images), num_images)
    return Value(value=share, low=low, high=high)


def _without_interval(value: float | None) -> Value | None:
    return None if value is None else Value(value=value)


def _points(published: PublishedResult) -> Iterator[tuple[float, float, float | None, float | None]]:
    for point in published.certified_accuracy:
        value = _share(published, point.accuracy)
        assert value is not None
        yield point.radius, value.value, value.low, value.high
