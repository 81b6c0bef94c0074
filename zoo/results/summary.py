"""Standard and certified accuracy, average certified radius and abstention, each with an interval over images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy.special import betaincinv

from zoo.errors import LogError
from zoo.models.measurements import CertifiedAccuracy, ClassCounts, LabelDistribution
from zoo.results.balanced_accuracy import majority_baseline, mean_per_class
from zoo.results.bounded_mean import chernoff_hoeffding_interval, radius_ceiling
from zoo.results.log import ABSTAIN, CertificationRow, common_radius_asked
from zoo.results.p_a_distribution import (
    TopClassProbability,
    label_distribution,
    p_a_distribution,
    why_no_p_a_of_label,
)
from zoo.smoothing.named_rules import FIXED
from zoo.smoothing.precision import DEFAULT, precision_of

CONFIDENCE = 0.95
NUM_RESAMPLES = 2000
RESAMPLING_SEED = 0

Interval = tuple[float, float]
IntervalMethod = Literal["bootstrap", "chernoff-hoeffding"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The numbers of one log. Fractions in [0, 1]; radii on the [0, 1] pixel scale; intervals at 95 % over images.

    `sigma`, `n0`, `n`, `alpha`, `stopping`, `bound`, `precision` are None if a published log does not record them, or
    rows differ. `mean_n` is the mean number of draws behind the bounds. `standard_accuracy` is that of the smoothed
    classifier: the share of correct predictions at radius 0, where an abstention counts as wrong. For at-radius rows,
    whose requested radius is `radius_asked`, that accuracy and the average certified radius are unknown: both are None.

    `average_certified_radius_interval_method` names the method of that interval: the bootstrap, unless all radii are
    equal. Equal radii cannot be resampled. Their interval is the Chernoff-Hoeffding interval for values up to the
    largest possible radius, or None if the log does not record sigma, n and alpha.

    `p_a` is the distribution of p_A of the selected class, `p_a_of_label` that of the true class; if the log does not
    determine the latter, `p_a_of_label_missing` is the reason. `image_spacing` is the constant distance between the
    numbers of the images if it is above 1: the images are then an evenly spaced subset, not a random sample.

    `classes` counts the images of each class at the radii of `certified_accuracy`, and `mean_per_class` is the mean of
    the classes' certified accuracies. Always answering the most frequent class of these images, `majority_class`, is
    right for the share `majority_baseline`, at every radius.
    """

    num_images: int
    sigma: float | None
    n0: int | None
    n: int | None
    alpha: float | None
    stopping: str | None
    bound: str | None
    precision: str | None
    radius_asked: float | None
    mean_n: float | None
    standard_accuracy: float | None
    standard_accuracy_interval: Interval | None
    average_certified_radius: float | None
    average_certified_radius_interval: Interval | None
    average_certified_radius_interval_method: IntervalMethod | None
    abstention_rate: float
    abstention_rate_interval: Interval
    certified_accuracy: tuple[CertifiedAccuracy, ...]
    classes: tuple[ClassCounts, ...]
    mean_per_class: tuple[CertifiedAccuracy, ...]
    majority_class: int
    majority_baseline: float
    p_a: TopClassProbability | None
    p_a_of_label: LabelDistribution | None
    p_a_of_label_missing: str | None
    image_spacing: int | None

    @property
    def conditions(self) -> str:
        """The conditions of the numbers that the log records, as one line of text."""
        parts = [f"{self.num_images} images"]
        if self.sigma is None and self.n is None and self.alpha is None:
            parts.append("sigma, n and alpha not in the log")
        parts += [] if self.sigma is None else [f"sigma {self.sigma:g}"]
        parts += [] if self.n0 is None else [f"n0 {self.n0}"]
        if self.n is not None:
            parts.append(f"n {self.n:,}")
        elif self.mean_n is not None:
            parts.append(f"mean n {self.mean_n:,.1f}")
        parts += [] if self.alpha is None else [f"alpha {self.alpha:g}"]
        parts += [] if self.precision in (None, DEFAULT) else [f"precision {self.precision}"]
        if self.stopping not in (None, FIXED):
            parts.append(f"rule {self.stopping}")
        return ", ".join(parts)


def summarize(rows: Sequence[CertificationRow], *, radii: Sequence[float]) -> Summary:
    """The summary of a log, with certified accuracy at each of `radii`.

    Certified accuracy at r is the share of rows that are correct with radius >= r. The ACR averages over all rows;
    errors and abstentions count as 0 (Zhai et al. 2020). At-radius rows give certified accuracy only at the requested
    radius, for any `radii`, because their radius is not the largest that can be certified.

    Raises: LogError if there are no rows, or at-radius rows are mixed with others.
    """
    if not rows:
        raise LogError("the log has no rows: nothing was certified yet")
    correct_N = np.array([row.correct for row in rows])
    certified_N = np.where(correct_N, [row.radius for row in rows], 0.0)
    abstained = sum(row.predict == ABSTAIN for row in rows)
    requested = common_radius_asked(rows)
    radii = radii if requested is None else [requested]
    classes = class_counts(rows, radii=radii)
    majority_class, baseline = majority_baseline([row.label for row in rows])
    interval, method = _interval_of_mean(certified_N, rows) if requested is None else (None, None)
    return Summary(
        num_images=len(rows),
        sigma=_common(rows, "sigma"),
        n0=_common(rows, "n0"),
        n=_common(rows, "n"),
        alpha=_common(rows, "alpha"),
        stopping=_common(rows, "stopping"),
        bound=_common(rows, "bound"),
        precision=precision_of(_common(rows, "backend") or ""),
        radius_asked=requested,
        mean_n=_mean_n(rows),
        standard_accuracy=float(correct_N.mean()) if requested is None else None,
        standard_accuracy_interval=binomial_interval(int(correct_N.sum()), len(rows)) if requested is None else None,
        average_certified_radius=float(certified_N.mean()) if requested is None else None,
        average_certified_radius_interval=interval,
        average_certified_radius_interval_method=method,
        abstention_rate=abstained / len(rows),
        abstention_rate_interval=binomial_interval(abstained, len(rows)),
        certified_accuracy=tuple(_certified_accuracy(correct_N, certified_N, radius) for radius in radii),
        classes=classes,
        mean_per_class=mean_per_class(classes, radii),
        majority_class=majority_class,
        majority_baseline=baseline,
        p_a=p_a_distribution(rows),
        p_a_of_label=label_distribution(rows),
        p_a_of_label_missing=why_no_p_a_of_label(rows),
        image_spacing=image_spacing(rows),
    )


@lru_cache(maxsize=2**14)  # a curve asks for the same few counts at hundreds of radii
def binomial_interval(count: int, n: int) -> Interval:
    """The two-sided 95 % Clopper-Pearson interval for a probability, given `count` successes in `n` trials.

    The numbers are those of statsmodels' `proportion_confint(count, n, method="beta")`, whose import takes longer than
    the rest of a report.
    """
    tail = (1 - CONFIDENCE) / 2
    low = 0.0 if count == 0 else float(betaincinv(count, n - count + 1, tail))
    high = 1.0 if count == n else float(betaincinv(count + 1, n - count, 1 - tail))
    return low, high


def image_spacing(rows: Sequence[CertificationRow]) -> int | None:
    """The distance between the numbers of any two neighbouring images, if it is constant and above 1."""
    distances = set(np.diff(sorted(row.idx for row in rows)).tolist())
    return distances.pop() if len(distances) == 1 and distances != {1} else None


def interval_of_bounded_mean(values_N: npt.NDArray[np.float64], *, ceiling: float) -> Interval:
    """The 95 % interval for the mean of values in [0, ceiling]: bootstrap, or Chernoff-Hoeffding if all are equal."""
    if np.ptp(values_N) > 0:
        return _bootstrap_interval(values_N)
    return chernoff_hoeffding_interval(values_N, ceiling=ceiling, confidence=CONFIDENCE)


def class_counts(rows: Sequence[CertificationRow], *, radii: Sequence[float]) -> tuple[ClassCounts, ...]:
    """The images of each class in the rows, and how many of them are correct with at least each of `radii`."""
    by_class: dict[int, list[float]] = {}
    for row in rows:
        by_class.setdefault(row.label, []).append(row.radius if row.correct else -1.0)
    return tuple(
        ClassCounts(
            label=label,
            num_images=len(certified),
            num_certified=tuple(sum(radius >= least for radius in certified) for least in radii),
        )
        for label, certified in sorted(by_class.items())
    )


def _certified_accuracy(
    correct_N: npt.NDArray[np.bool_], certified_N: npt.NDArray[np.float64], radius: float
) -> CertifiedAccuracy:
    count = int((correct_N & (certified_N >= radius)).sum())
    low, high = binomial_interval(count, len(correct_N))
    return CertifiedAccuracy(radius=radius, accuracy=count / len(correct_N), low=low, high=high)


def _interval_of_mean(
    values_N: npt.NDArray[np.float64], rows: Sequence[CertificationRow]
) -> tuple[Interval | None, IntervalMethod | None]:
    if np.ptp(values_N) > 0:
        return _bootstrap_interval(values_N), "bootstrap"
    ceiling = radius_ceiling(rows)
    if ceiling is None:
        return None, None
    return chernoff_hoeffding_interval(values_N, ceiling=ceiling, confidence=CONFIDENCE), "chernoff-hoeffding"


def _bootstrap_interval(values_N: npt.NDArray[np.float64]) -> Interval:
    """The percentile bootstrap interval of the mean.

    The numbers are those of scipy's `bootstrap(..., method="percentile")`, whose import takes longer than a report.
    """
    generator, num = np.random.default_rng(RESAMPLING_SEED), len(values_N)
    means_R = values_N[generator.integers(0, num, (NUM_RESAMPLES, num))].mean(axis=-1)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(means_R, [tail, 1 - tail])
    return float(low), float(high)


def _mean_n(rows: Sequence[CertificationRow]) -> float | None:
    draws = [row.provenance.n for row in rows if row.provenance is not None]
    return sum(draws) / len(draws) if len(draws) == len(rows) else None


def _common(rows: Sequence[CertificationRow], name: str) -> Any:
    values = {None if row.provenance is None else getattr(row.provenance, name) for row in rows}
    return values.pop() if len(values) == 1 else None
