"""Rows of leaderboard documents, which `zoo show MODEL --leaderboard` writes, and the contradictions in them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from zoo.cards.leaderboard_schema import Certified, Empirical, Estimate, LeaderboardEntry
from zoo.leaderboard.curves import classes_of, counts_of, steps_of
from zoo.leaderboard.plausibility import result_faults, share_faults
from zoo.leaderboard.row import Conditions, Row, Trace, Value
from zoo.models.measurements import CertificationResult, CertifiedAccuracy
from zoo.results.contradictions import contradictions
from zoo.results.log import CertificationRow, common_radius_asked
from zoo.results.summary import Interval, binomial_interval
from zoo.smoothing.named_rules import UNNAMED_BOUND
from zoo.verification.recomputation import recomputation_faults

MOST_NAMED = 5


def entry_faults(entry: LeaderboardEntry, rows: Sequence[CertificationRow] | None) -> list[str]:
    """One sentence per number of the document that contradicts another number or the rows of its log."""
    measured, certified = entry.measured, entry.measured.certified
    faults = [fault for part in (measured.empirical_base, measured.empirical_smoothed) for fault in _of_empirical(part)]
    if certified is None:
        return [*faults, *(["there is a log, but the document claims no certified numbers"] if rows else [])]
    result = certification_result(certified)
    faults += [*result_faults(result), *_of_abstentions(certified)]
    if rows is not None:
        recomputed = recomputation_faults(rows, num_values=_num_values(entry.input))
        faults += [*recomputed[:MOST_NAMED], *contradictions(result, rows, labels=None)]
    return faults


def certification_result(certified: Certified) -> CertificationResult:
    """The certified part of a document as the result that it was derived from."""
    names = CertificationResult.model_fields.keys() & Certified.model_fields.keys()
    same = {name: getattr(certified, name) for name in names}
    accuracy, mean = certified.standard_accuracy, certified.average_certified_radius
    return CertificationResult(
        **{
            **same,
            **dict(certified.images),
            "standard_accuracy": None if accuracy is None else accuracy.value,
            "standard_accuracy_interval": _interval(accuracy),
            "average_certified_radius": None if mean is None else mean.value,
            "average_certified_radius_interval": _interval(mean),
            "abstention_rate": certified.abstention_rate.value,
            "certified_accuracy": tuple(
                _certified_accuracy(point.radius, point.accuracy, num_images=certified.images.num_images)
                for point in certified.certified_accuracy
            ),
        }
    )


def _certified_accuracy(radius: float, accuracy: Estimate, *, num_images: int) -> CertifiedAccuracy:
    interval = _interval(accuracy) or binomial_interval(round(accuracy.value * num_images), num_images)
    return CertifiedAccuracy(radius=radius, accuracy=accuracy.value, low=interval[0], high=interval[1])


def entry_row(
    entry: LeaderboardEntry,
    rows: Sequence[CertificationRow] | None,
    *,
    class_names: Sequence[str],
    trace: Trace,
    num_parameters: int | None,
) -> Row:
    """The row of a document whose numbers do not contradict each other or its log.

    The document does not state `class_names`: they are its checkpoint's, or empty.
    """
    certified = entry.measured.certified
    result = None if certified is None else certification_result(certified)
    return measured_row(
        result,
        rows,
        name=entry.name,
        method=entry.training.objective,
        architecture=entry.architecture,
        num_parameters=num_parameters,
        trace=trace,
    ).model_copy(
        update={
            "sigma": entry.training.sigma if certified is None else certified.sigma,
            "classes": () if rows is None else classes_of(rows, class_names),
            "hyper_parameters": entry.training.hyper_parameters,
            "facts": tuple(_facts(entry)),
        }
    )


def measured_row(
    result: CertificationResult | None,
    rows: Sequence[CertificationRow] | None,
    *,
    name: str,
    method: str,
    architecture: str,
    num_parameters: int | None,
    trace: Trace,
) -> Row:
    """The row of a certified result that this software measured, with its curve if the log's rows are given."""
    has_curve = rows is not None and common_radius_asked(rows) is None
    return Row(
        name=name,
        status="measured",
        evidence="document" if rows is None else "log",
        method=method,
        architecture=architecture,
        num_parameters=num_parameters,
        sigma=None if result is None else result.sigma,
        conditions=None if result is None else _conditions(result),
        standard_accuracy=None
        if result is None
        else _value(result.standard_accuracy, result.standard_accuracy_interval),
        average_certified_radius=None
        if result is None
        else _value(result.average_certified_radius, result.average_certified_radius_interval),
        abstention_rate=None if result is None else _abstentions(result),
        curve=steps_of(counts_of(rows), num_images=len(rows)) if rows is not None and has_curve else None,
        points=()
        if result is None
        else tuple((p.radius, p.accuracy, p.low, p.high) for p in result.certified_accuracy),
        trace=trace,
    )


def _conditions(result: CertificationResult) -> Conditions:
    same = {name: getattr(result, name) for name in Conditions.model_fields if hasattr(result, name)}
    seed = None if result.sample is None else result.seed
    bound = result.bound or UNNAMED_BOUND.get(result.stopping)
    return Conditions.model_validate({**same, "norm": "l2", "image_seed": seed, "bound": bound})


def _value(value: float | None, interval: Interval | None) -> Value | None:
    low, high = (None, None) if interval is None else interval
    return None if value is None else Value(value=value, low=low, high=high)


def _abstentions(result: CertificationResult) -> Value:
    num_abstained = round(result.abstention_rate * result.num_images)
    low, high = binomial_interval(num_abstained, result.num_images)
    return Value(value=result.abstention_rate, low=low, high=high)


def _of_empirical(part: Empirical | None) -> Iterator[str]:
    if part is None:
        return
    named = [("standard accuracy", part.standard_accuracy), ("robust accuracy", part.robust_accuracy)]
    named += [(f"accuracy under noise of {point.sigma:g}", point.accuracy) for point in part.noise]
    for name, estimate in named:
        if estimate is not None:
            yield from share_faults(name, estimate.value, _interval(estimate), num_images=part.images.num_images)


def _of_abstentions(certified: Certified) -> Iterator[str]:
    rate = certified.abstention_rate
    yield from share_faults("abstention rate", rate.value, _interval(rate), num_images=certified.images.num_images)


def _interval(estimate: Estimate | None) -> Interval | None:
    return None if estimate is None or estimate.low is None or estimate.high is None else (estimate.low, estimate.high)


def _num_values(input: str) -> int:
    """The number of pixels times channels of an input such as "3x32x32 in [0, 1], ..."; 1 if it is not stated so."""
    sides = re.match(r"(\d+)x(\d+)x(\d+)\b", input)
    return 1 if sides is None else int(sides[1]) * int(sides[2]) * int(sides[3])


def _facts(entry: LeaderboardEntry) -> Iterator[tuple[str, str]]:
    yield "Input", entry.input
    yield "Trained on", entry.training.task
    if entry.licence is not None:
        yield "Licence of the weights", entry.licence
    if entry.source is not None:
        yield "Imported from", entry.source.url or entry.source.file
    for name, part in (("network", entry.measured.empirical_base), ("smoothed", entry.measured.empirical_smoothed)):
        if part is not None:
            yield f"Evaluated without a proof ({name})", _empirical_in_words(part)
    if entry.reported is not None:
        reported = entry.reported
        text = f"{100 * reported.standard_accuracy:.1f} % accuracy of {reported.of} on {reported.task}"
        yield "Reported by its authors", f"{text}: {reported.source}"


def _empirical_in_words(part: Empirical) -> str:
    text = f"{100 * part.standard_accuracy.value:.1f} % of {part.images.num_images} images of {part.images.task}"
    if part.robust_accuracy is None or part.attack is None:
        return text
    return f"{text}; {100 * part.robust_accuracy.value:.1f} % under {part.attack.name} of {part.attack.epsilon:g}"
