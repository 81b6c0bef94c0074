"""Where a card's certified numbers do not follow from the rows beside it: arithmetic, without any draw."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from zoo.models.measurements import CertificationResult
from zoo.results.log import CertificationRow
from zoo.results.summary import Interval, summarize
from zoo.smoothing.named_rules import FIXED

# Rounding of sums, and of another machine's bounds.
CLOSE = 1e-9
# Six times the standard error of an end of a percentile interval by 2,000 resamples, as a share of its width.
RESAMPLING_SLACK = 0.1
SAME_FOR_ALL = ("sigma", "n0", "alpha", "stopping", "bound", "radius_asked", "noise", "backend", "seed")


def contradictions(
    result: CertificationResult, rows: Sequence[CertificationRow], *, labels: Sequence[int] | None
) -> list[str]:
    """In words, each claim of `result` that `rows` contradict; `labels` are the classes of the test set's images, None
    where the test set is not at hand: then neither its size nor a true class can be looked at.

    Looked at are all conditions and numbers. The interval of the average certified radius is resampled, by the same
    seed: it may differ by a tenth of its width, which is more than another version of the resampler moves it.
    """
    if not rows:
        return ["the card claims certified numbers, but the log holds no row"]
    images = _of_places(result, rows) if labels is None else _of_images(result, rows, labels)
    return [*images, *_of_conditions(result, rows), *_of_numbers(result, rows)]


def _of_places(result: CertificationResult, rows: Sequence[CertificationRow]) -> Iterator[str]:
    """As `_of_images`, as far as it shows without the test set: no image is left out, none is beyond the last."""
    in_log = {row.idx for row in rows}
    claimed = set(range(0, max(in_log) + 1, result.skip))
    if result.maximum is not None:
        claimed = {index for index in claimed if index < result.maximum}
    if claimed != in_log:
        example = min(claimed ^ in_log)
        held = "is not in the log" if example in claimed else "is in the log too"
        yield f"the card says {result.images}, but image {example} {held}"


def _of_images(result: CertificationResult, rows: Sequence[CertificationRow], labels: Sequence[int]) -> Iterator[str]:
    num_below = len(labels) if result.maximum is None else min(result.maximum, len(labels))
    claimed, in_log = set(range(0, num_below, result.skip)), {row.idx for row in rows}
    if claimed != in_log:
        example = min(claimed ^ in_log)
        held = "is not in the log" if example in claimed else "is in the log too"
        yield f"the card says {result.images} ({len(claimed)}), but the log holds {len(in_log)}; image {example} {held}"
    wrong = [row for row in rows if row.idx < len(labels) and row.label != labels[row.idx]]
    if wrong:
        first = wrong[0]
        others = "" if len(wrong) == 1 else f", and {len(wrong) - 1} others"
        yield f"row {first.idx}{others}: the log says class {first.label}, the test set {labels[first.idx]}"


def _of_conditions(result: CertificationResult, rows: Sequence[CertificationRow]) -> Iterator[str]:
    for name in (*SAME_FOR_ALL, "n"):
        claimed = getattr(result, name)
        for row in rows:
            in_log = None if row.provenance is None else getattr(row.provenance, name)
            is_fewer_draws = name == "n" and result.stopping != FIXED and in_log is not None and in_log <= claimed
            if in_log != claimed and not is_fewer_draws:
                yield f"{name}: the card says {claimed}, row {row.idx} of the log {in_log}"
                break


def _of_numbers(result: CertificationResult, rows: Sequence[CertificationRow]) -> Iterator[str]:
    summary = summarize(rows, radii=[point.radius for point in result.certified_accuracy])
    for name in ("num_images", "mean_n", "standard_accuracy", "average_certified_radius", "abstention_rate"):
        claimed, in_log = getattr(result, name), getattr(summary, name)
        if not _is_close(claimed, in_log) and not (name == "mean_n" and claimed is None):
            yield f"{name.replace('_', ' ')}: the card says {claimed}, the log gives {in_log}"
    yield from _of_resampled(result.average_certified_radius_interval, summary.average_certified_radius_interval)
    found_at = {point.radius: point for point in summary.certified_accuracy}
    for point in result.certified_accuracy:
        there = found_at.get(point.radius)
        in_log = None if there is None else (there.accuracy, there.low, there.high)
        claims = (point.accuracy, point.low, point.high)
        if in_log is None or not all(map(_is_close, claims, in_log)):
            yield f"certified accuracy at {point.at} and its interval: the card says {claims}, the log gives {in_log}"


def _of_resampled(claimed: Interval | None, in_log: Interval | None) -> Iterator[str]:
    if claimed is None or in_log is None:
        is_near = claimed is in_log
    else:
        slack = max(RESAMPLING_SLACK * (in_log[1] - in_log[0]), CLOSE)
        is_near = all(abs(one - other) <= slack for one, other in zip(claimed, in_log, strict=True))
    if not is_near:
        yield f"interval of the average certified radius: the card says {claimed}, the log gives about {in_log}"


def _is_close(claimed: float | None, in_log: float | None) -> bool:
    if claimed is None or in_log is None:
        return claimed is in_log
    return math.isclose(claimed, in_log, rel_tol=CLOSE, abs_tol=CLOSE)
