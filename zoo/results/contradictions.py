"""Contradictions between a card's certified numbers and the rows of its log, found without drawing noise."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import zip_longest

from zoo.models.measurements import CertificationResult, ClassCounts, LabelDistribution
from zoo.results.log import CertificationRow
from zoo.results.selection import selection_of
from zoo.results.summary import Interval, summarize
from zoo.smoothing.family import FamilyMember
from zoo.smoothing.named_rules import FIXED, UNNAMED_BOUND
from zoo.smoothing.stopping import TANGENT_BETS

# Sums are rounded, and the bounds' last digits differ between machines.
CLOSE = 1e-9
# As a share of the interval's width: six times the standard error of one end of a percentile interval from 2,000
# resamples.
RESAMPLING_SLACK = 0.1
SAME_FOR_ALL = ("sigma", "n0", "alpha", "stopping", "bound", "radius_asked", "noise", "backend", "seed")


def contradictions(
    result: CertificationResult, rows: Sequence[CertificationRow], *, labels: Sequence[int] | None
) -> list[str]:
    """One sentence per claim of `result` that `rows` contradict.

    All conditions and numbers are compared. The interval of the average certified radius is resampled with the same
    seed. It may differ by a tenth of its width, which is more than another version of the resampler changes it.

    Args:
        result: The claims of the card.
        rows: The rows of the log.
        labels: The true classes of all images of the test set. None if the test set is not available; its size and the
            true classes are then not compared.
    """
    if not rows:
        return ["the card claims certified numbers, but the log has no rows"]
    images = _of_places(result, rows) if labels is None else _of_images(result, rows, labels)
    return [*images, *_of_conditions(result, rows), *_of_family(result, rows), *_of_numbers(result, rows)]


def _of_places(result: CertificationResult, rows: Sequence[CertificationRow]) -> Iterator[str]:
    """Contradictions in the choice of images that show without the test set: an image left out, or one too many.

    A sample depends on the size of the test set and on the classes of its images, so it is not checked.
    """
    if result.sample is not None:
        return
    in_log = {row.idx for row in rows}
    claimed = set(range(0, max(in_log) + 1, result.skip))
    if result.maximum is not None:
        claimed = {index for index in claimed if index < result.maximum}
    if claimed != in_log:
        example = min(claimed ^ in_log)
        place = "is not in the log" if example in claimed else "is in the log too"
        yield f"the card says {result.images}, but image {example} {place}"


def _of_images(result: CertificationResult, rows: Sequence[CertificationRow], labels: Sequence[int]) -> Iterator[str]:
    if result.sample is not None and result.num_images > len(labels):
        yield f"the card says {result.num_images} images, but the test set has only {len(labels)}"
        return
    claimed, in_log = set(selection_of(result).of(labels)), {row.idx for row in rows}
    if claimed != in_log:
        example = min(claimed ^ in_log)
        place = "is not in the log" if example in claimed else "is in the log too"
        sizes = f"the card says {result.images} ({len(claimed)}), but the log contains {len(in_log)} images"
        yield f"{sizes}; image {example} {place}"
    wrong = [row for row in rows if row.idx < len(labels) and row.label != labels[row.idx]]
    if wrong:
        first = wrong[0]
        others = "" if len(wrong) == 1 else f", and {len(wrong) - 1} others"
        yield f"row {first.idx}{others}: the log says class {first.label}, the test set says {labels[first.idx]}"


def _of_conditions(result: CertificationResult, rows: Sequence[CertificationRow]) -> Iterator[str]:
    for name in (*SAME_FOR_ALL, "n"):
        claimed = getattr(result, name)
        if name == "bound" and claimed is None:  # an earlier version wrote the card
            claimed = UNNAMED_BOUND.get(result.stopping)
        for row in rows:
            in_log = None if row.provenance is None else getattr(row.provenance, name)
            is_fewer_draws = name == "n" and result.stopping != FIXED and in_log is not None and in_log <= claimed
            if in_log != claimed and not is_fewer_draws:
                yield f"{name}: the card says {claimed}, row {row.idx} of the log says {in_log}"
                break
    yield from _of_last_looks(result, rows)


def _of_last_looks(result: CertificationResult, rows: Sequence[CertificationRow]) -> Iterator[str]:
    """Rows of bets on tangents with a bound on p_A before the last draw, which is the only look that gives one."""
    for row in rows:
        how = row.provenance
        is_early = how is not None and how.bound == TANGENT_BETS and how.p_a_lower is not None and how.n < result.n
        if is_early:
            yield f"row {row.idx} of the log bounds p_A before draw {result.n}, the only one whose look gives a bound"
            break


def _of_family(result: CertificationResult, rows: Sequence[CertificationRow]) -> Iterator[str]:
    """Contradictions to the claim that all certificates hold at once: too many rows, or too large an alpha for each."""
    family = result.family
    if family is None:
        return
    if len(rows) > family.size:
        yield f"family: the card says that {family.size} certificates share alpha, the log has {len(rows)} rows"
    most = FamilyMember(alpha=family.alpha, index=1, size=family.size).level
    if result.alpha > most:
        yield f"family: each of {family.size} certificates may have alpha {most}, the card says {result.alpha}"


def _of_numbers(result: CertificationResult, rows: Sequence[CertificationRow]) -> Iterator[str]:
    summary = summarize(rows, radii=[point.radius for point in result.certified_accuracy])
    for name in ("num_images", "mean_n", "standard_accuracy", "average_certified_radius", "abstention_rate"):
        claimed, in_log = getattr(result, name), getattr(summary, name)
        if not _is_close(claimed, in_log) and not (name == "mean_n" and claimed is None):
            yield f"{name.replace('_', ' ')}: the card says {claimed}, the log gives {in_log}"
    if result.classes is not None and result.classes != summary.classes:
        pairs = zip_longest(result.classes, summary.classes)
        claimed, in_log = next(pair for pair in pairs if pair[0] != pair[1])
        yield f"images of a class: the card says {_counts(claimed)}, the log gives {_counts(in_log)}"
    yield from _of_resampled(result.average_certified_radius_interval, summary.average_certified_radius_interval)
    points = {point.radius: point for point in summary.certified_accuracy}
    for point in result.certified_accuracy:
        computed = points.get(point.radius)
        in_log = None if computed is None else (computed.accuracy, computed.low, computed.high)
        claims = (point.accuracy, point.low, point.high)
        if in_log is None or not all(map(_is_close, claims, in_log)):
            yield f"certified accuracy at {point.at} and its interval: the card says {claims}, the log gives {in_log}"
    yield from _of_label_distribution(result.p_a_of_label, summary.p_a_of_label)


def _of_label_distribution(claimed: LabelDistribution | None, in_log: LabelDistribution | None) -> Iterator[str]:
    if claimed is None:
        return
    if in_log is None:
        yield "distribution of p_A of the true class: the card gives it, but the log does not determine it"
        return
    expected = {point.p_a: point for point in in_log.points}
    for point in claimed.points:
        computed = expected.get(point.p_a)
        names = ("share", "low", "high")
        if computed is None or not all(_is_close(getattr(point, name), getattr(computed, name)) for name in names):
            claims, given = (None if p is None else (p.share, p.low, p.high) for p in (point, computed))
            yield f"share of images with p_A of at most {point.p_a}: the card says {claims}, the log gives {given}"
    if not _is_close(claimed.half_width, in_log.half_width) or not _is_close(claimed.confidence, in_log.confidence):
        yield f"band of the distribution of p_A: the card says {claimed.half_width}, the log gives {in_log.half_width}"


def _counts(counts: ClassCounts | None) -> str:
    if counts is None:
        return "no further class"
    return f"{counts.num_images} of class {counts.label}, certified {counts.num_certified}"


def _of_resampled(claimed: Interval | None, in_log: Interval | None) -> Iterator[str]:
    if claimed is None or in_log is None:
        is_near = claimed is in_log
    else:
        slack = max(RESAMPLING_SLACK * (in_log[1] - in_log[0]), CLOSE)
        is_near = all(abs(end - expected) <= slack for end, expected in zip(claimed, in_log, strict=True))
    if not is_near:
        yield f"interval of the average certified radius: the card says {claimed}, the log gives about {in_log}"


def _is_close(claimed: float | None, in_log: float | None) -> bool:
    if claimed is None or in_log is None:
        return claimed is in_log
    return math.isclose(claimed, in_log, rel_tol=CLOSE, abs_tol=CLOSE)
