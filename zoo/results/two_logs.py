"""The difference between two certification logs of the same images, image by image."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from zoo.errors import LogError
from zoo.results.bounded_mean import radius_ceiling
from zoo.results.log import ABSTAIN, CertificationRow, common_radius_asked
from zoo.results.multiple_testing import holm_adjusted
from zoo.results.summary import Interval, binomial_interval, interval_of_bounded_mean
from zoo.smoothing.prediction import fair_coin_p_value

Pairs = Sequence[tuple[CertificationRow, CertificationRow]]
"""The rows of A and B of each image."""

Differences = npt.NDArray[np.float64]

Property = tuple[str, float | None, Callable[[CertificationRow], bool]]
"""The name of a property of a row, its radius if it has one, and the property."""

LIMITS_OF_RADII = ("n", "alpha", "n0", "stopping", "bound", "noise", "sigma")
"""The conditions whose differences change the radii of an image, whichever network is better."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareDifference:
    """A share of the images in A and in B, and the difference B - A. Fractions; intervals at 95 % over images.

    `only_a` and `only_b` count the images that have the property in one log only. `p_value` is that of the two-sided
    exact test of McNemar 1947; `adjusted_p_value` is adjusted by Holm's method for all shares of a comparison.
    """

    name: str
    radius: float | None
    a: float
    a_interval: Interval
    b: float
    b_interval: Interval
    difference: float
    difference_interval: Interval
    only_a: int
    only_b: int
    p_value: float
    adjusted_p_value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanDifference:
    """The average certified radius of A and of B, and the difference B - A with its 95 % interval over images.

    The interval is None if all differences are equal and a log does not record sigma, n and alpha.
    """

    a: float
    b: float
    difference: float
    difference_interval: Interval | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedImage:
    """An image whose prediction differs, or that is certified at one of the radii in one log only.

    `predict` is -1 where the classifier abstained; a radius certifies the prediction, right or wrong.
    """

    idx: int
    label: int
    a_predict: int
    a_radius: float
    b_predict: int
    b_radius: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LogComparison:
    """The comparison of two logs of the same images; `notes` name every difference of their conditions."""

    num_images: int
    notes: tuple[str, ...]
    shares: tuple[ShareDifference, ...]
    average_certified_radius: MeanDifference | None
    changed: tuple[ChangedImage, ...]


def compare_logs(
    rows_a: Sequence[CertificationRow],
    rows_b: Sequence[CertificationRow],
    *,
    radii: Sequence[float],
    notes: Sequence[str] = (),
) -> LogComparison:
    """The comparison of two logs at `radii`, or at the requested radius if a log is of the rule at-radius.

    `notes` are differences that the rows do not show, for the result's notes.

    Raises: LogError if the logs are of other images or classes, if one has no noise, or if their rows are at-radius
    rows of different radii.
    """
    pairs = _paired(rows_a, rows_b)
    _require_certificates(rows_a, rows_b)
    requested = _common_requested(rows_a, rows_b)
    shown = list(radii) if requested is None else [requested]
    properties: list[Property] = [
        (f"certified accuracy at {radius:g}", radius, partial(_is_certified, radius)) for radius in shown
    ]
    properties.append(("abstention", None, _abstains))
    return LogComparison(
        num_images=len(pairs),
        notes=(*_differing_conditions(rows_a, rows_b), *notes),
        shares=_share_differences(pairs, properties),
        average_certified_radius=_mean_difference(pairs, rows_a, rows_b) if requested is None else None,
        changed=_changed(pairs, shown),
    )


def _is_certified(radius: float, row: CertificationRow) -> bool:
    return row.correct and row.radius >= radius


def _abstains(row: CertificationRow) -> bool:
    return row.predict == ABSTAIN


def _paired(rows_a: Sequence[CertificationRow], rows_b: Sequence[CertificationRow]) -> Pairs:
    by_idx_a, by_idx_b = ({row.idx: row for row in rows} for rows in (rows_a, rows_b))
    only_a, only_b = by_idx_a.keys() - by_idx_b.keys(), by_idx_b.keys() - by_idx_a.keys()
    if only_a or only_b:
        raise LogError(
            f"the logs are of different images, {len(only_a)} are only in the first and {len(only_b)} only in the "
            "second: certify the same images with both"
        )
    if not by_idx_a:
        raise LogError("the logs have no rows: nothing was certified yet")
    pairs = [(by_idx_a[idx], by_idx_b[idx]) for idx in sorted(by_idx_a)]
    for row_a, row_b in pairs:
        if row_a.label != row_b.label:
            raise LogError(
                f"image {row_a.idx} has class {row_a.label} in the first log and class {row_b.label} in the second: "
                "the logs are of different tasks"
            )
    return pairs


def _require_certificates(*logs: Sequence[CertificationRow]) -> None:
    for name, rows in zip(("first", "second"), logs, strict=True):
        if any(row.provenance is not None and row.provenance.sigma == 0 for row in rows):
            raise LogError(f"the {name} log is at sigma 0, without noise, so it certifies no radius to compare")


def _common_requested(*logs: Sequence[CertificationRow]) -> float | None:
    requested = {radius for radius in map(common_radius_asked, logs) if radius is not None}
    if len(requested) > 1:
        first, second = sorted(requested)
        raise LogError(
            f"the logs decide different radii, {first:g} and {second:g}, and an at-radius log says nothing about others"
        )
    return requested.pop() if requested else None


def _share_differences(pairs: Pairs, properties: Sequence[Property]) -> tuple[ShareDifference, ...]:
    flags = [
        tuple(np.array([has(pair[side]) for pair in pairs], dtype=np.float64) for side in (0, 1))
        for _, _, has in properties
    ]
    only = [(int((a > b).sum()), int((b > a).sum())) for a, b in flags]
    p_values = [fair_coin_p_value(max(pair), sum(pair)) for pair in only]
    adjusted = holm_adjusted(p_values)
    num = len(pairs)
    return tuple(
        ShareDifference(
            name=name,
            radius=radius,
            a=float(a_N.mean()),
            a_interval=binomial_interval(int(a_N.sum()), num),
            b=float(b_N.mean()),
            b_interval=binomial_interval(int(b_N.sum()), num),
            difference=float((b_N - a_N).mean()),
            difference_interval=_interval_of_shares(*only[index], b_N - a_N),
            only_a=only[index][0],
            only_b=only[index][1],
            p_value=p_values[index],
            adjusted_p_value=float(adjusted[index]),
        )
        for index, ((name, radius, _), (a_N, b_N)) in enumerate(zip(properties, flags, strict=True))
    )


def _interval_of_shares(only_a: int, only_b: int, differences_N: Differences) -> Interval:
    """The bootstrap interval over images; if all images agree, which cannot be resampled, that of the two counts.

    The shares of images that only A and only B have are within their Clopper-Pearson intervals, and so is the
    difference within the difference of these.
    """
    if np.ptp(differences_N) > 0:
        return _interval(differences_N, reach=1.0)
    (low_a, high_a), (low_b, high_b) = (binomial_interval(only, len(differences_N)) for only in (only_a, only_b))
    return low_b - high_a, high_b - low_a


def _mean_difference(
    pairs: Pairs, rows_a: Sequence[CertificationRow], rows_b: Sequence[CertificationRow]
) -> MeanDifference:
    a_N, b_N = (np.array([pair[side].radius if pair[side].correct else 0.0 for pair in pairs]) for side in (0, 1))
    ceilings = [radius_ceiling(rows) for rows in (rows_a, rows_b)]
    reach = None if None in ceilings else max(ceiling or 0.0 for ceiling in ceilings)
    interval = None
    if reach is not None or np.ptp(b_N - a_N) > 0:
        interval = _interval(b_N - a_N, reach=reach or float(max(a_N.max(), b_N.max())))
    mean_a, mean_b = float(a_N.mean()), float(b_N.mean())
    return MeanDifference(a=mean_a, b=mean_b, difference=mean_b - mean_a, difference_interval=interval)


def _interval(differences_N: Differences, *, reach: float) -> Interval:
    """The interval of the mean of differences in [-reach, reach]: bootstrap over images, or exact if all are equal."""
    low, high = interval_of_bounded_mean(differences_N + reach, ceiling=2 * reach)
    return low - reach, high - reach


def _changed(pairs: Pairs, radii: Sequence[float]) -> tuple[ChangedImage, ...]:
    """The changed images, those with the largest change of the certified radius of the true class first."""

    def change(pair: tuple[CertificationRow, CertificationRow]) -> float:
        before, after = (row.radius if row.correct else 0.0 for row in pair)
        return abs(after - before)

    def is_changed(row_a: CertificationRow, row_b: CertificationRow) -> bool:
        crossed = any(_is_certified(radius, row_a) != _is_certified(radius, row_b) for radius in radii)
        return crossed or row_a.predict != row_b.predict

    found = sorted((pair for pair in pairs if is_changed(*pair)), key=lambda pair: (-change(pair), pair[0].idx))
    return tuple(
        ChangedImage(
            idx=row_a.idx,
            label=row_a.label,
            a_predict=row_a.predict,
            a_radius=row_a.radius,
            b_predict=row_b.predict,
            b_radius=row_b.radius,
        )
        for row_a, row_b in found
    )


def _differing_conditions(rows_a: Sequence[CertificationRow], rows_b: Sequence[CertificationRow]) -> Iterator[str]:
    """A sentence per condition that differs, or that only one of the logs records."""
    for name in LIMITS_OF_RADII:
        a, b = (_values(rows, name) for rows in (rows_a, rows_b))
        if a != b:
            advice = LIMITED.get(name, "")
            yield f"{name} differs: {a} in the first log, {b} in the second{advice}"
    backends = [_values(rows, "backend") for rows in (rows_a, rows_b)]
    if backends[0] != backends[1]:
        yield f"the backend differs: {backends[0]} in the first log, {backends[1]} in the second"


LIMITED = {
    "n": "; fewer draws give smaller radii, for the same network too",
    "alpha": "; a smaller alpha gives smaller radii, for the same network too",
    "sigma": "; each sigma is a different smoothed classifier",
}


def _values(rows: Sequence[CertificationRow], name: str) -> str:
    """The values of a column in words."""
    provenances = [row.provenance for row in rows if row.provenance is not None]
    if len(provenances) < len(rows):
        return "not recorded"
    values = sorted({getattr(provenance, name) for provenance in provenances})
    shown = [f"{value:,}" if isinstance(value, int) else str(value) for value in values]
    return shown[0] if len(shown) == 1 else f"{shown[0]} to {shown[-1]}"
