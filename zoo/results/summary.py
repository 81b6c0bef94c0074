"""Standard and certified accuracy, average certified radius and abstention, each with its interval over images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from zoo.errors import LogError
from zoo.results.log import ABSTAIN, CertificationRow
from zoo.spec import CertifiedAccuracy

CONFIDENCE = 0.95
NUM_RESAMPLES = 2000
RESAMPLING_SEED = 0

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The numbers of one log. Fractions in [0, 1]; radii on the [0, 1] pixel scale; intervals at 95 % over images.

    `sigma`, `n0`, `n`, `alpha` are None where the log does not say (a published one) or its rows differ. Standard
    accuracy is that of the smoothed classifier: the share of correct answers at radius 0, an abstention being wrong.
    """

    num_images: int
    sigma: float | None
    n0: int | None
    n: int | None
    alpha: float | None
    standard_accuracy: float
    standard_accuracy_interval: Interval
    average_certified_radius: float
    average_certified_radius_interval: Interval
    abstention_rate: float
    abstention_rate_interval: Interval
    certified_accuracy: tuple[CertifiedAccuracy, ...]


def summarize(rows: Sequence[CertificationRow], *, radii: Sequence[float]) -> Summary:
    """Certified accuracy at r counts rows that are correct with radius >= r; ACR averages over all rows, errors and
    abstentions as 0 (Zhai et al. 2020).

    Raises: LogError if there is no row.
    """
    if not rows:
        raise LogError("the log holds no row: nothing was certified yet")
    correct_N = np.array([row.correct for row in rows])
    certified_N = np.where(correct_N, [row.radius for row in rows], 0.0)
    abstained = sum(row.predict == ABSTAIN for row in rows)
    return Summary(
        num_images=len(rows),
        sigma=_common(rows, "sigma"),
        n0=_as_int(_common(rows, "n0")),
        n=_as_int(_common(rows, "n")),
        alpha=_common(rows, "alpha"),
        standard_accuracy=float(correct_N.mean()),
        standard_accuracy_interval=binomial_interval(int(correct_N.sum()), len(rows)),
        average_certified_radius=float(certified_N.mean()),
        average_certified_radius_interval=_bootstrap_interval(certified_N),
        abstention_rate=abstained / len(rows),
        abstention_rate_interval=binomial_interval(abstained, len(rows)),
        certified_accuracy=tuple(_certified_accuracy(correct_N, certified_N, radius) for radius in radii),
    )


def binomial_interval(count: int, n: int) -> Interval:
    """Two-sided Clopper-Pearson interval at 95 % for the probability behind `count` of `n`."""
    low, high = proportion_confint(count, n, alpha=1 - CONFIDENCE, method="beta")
    return float(low), float(high)


def _certified_accuracy(
    correct_N: npt.NDArray[np.bool_], certified_N: npt.NDArray[np.float64], radius: float
) -> CertifiedAccuracy:
    count = int((correct_N & (certified_N >= radius)).sum())
    low, high = binomial_interval(count, len(correct_N))
    return CertifiedAccuracy(radius=radius, accuracy=count / len(correct_N), low=low, high=high)


def _bootstrap_interval(values_N: npt.NDArray[np.float64]) -> Interval:
    if len(values_N) < 2 or np.ptp(values_N) == 0:
        return float(values_N.mean()), float(values_N.mean())
    found = stats.bootstrap(
        (values_N,),
        np.mean,
        n_resamples=NUM_RESAMPLES,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(RESAMPLING_SEED),
    )
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


def _common(rows: Sequence[CertificationRow], name: str) -> float | int | None:
    values = {None if row.provenance is None else getattr(row.provenance, name) for row in rows}
    return values.pop() if len(values) == 1 else None


def _as_int(value: float | int | None) -> int | None:
    return None if value is None else int(value)
