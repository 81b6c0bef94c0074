"""How p_A, the probability of the smoothed classifier's class under noise, is distributed over the images.

The average certified radius alone can mislead: it grows without end for images whose p_A is near 1, and so rewards
making easy images easier (Sun et al. 2024, arXiv 2410.06895). What it is made of stands here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from zoo.results.log import CertificationRow, Provenance
from zoo.smoothing.named_rules import AT_RADIUS

DECILES = tuple(tenths / 10 for tenths in range(1, 10))
EDGES = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 0.999, 1.0)
"""A radius needs more than 1/2, and grows fastest near 1, where the bins are narrow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HistogramBin:
    """How many images have a p_A in [low, high), in [low, high] for the last bin; `num_correct` of them are answered
    correctly."""

    low: float
    high: float
    num_images: int
    num_correct: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """Over all images: the values at the shares 0.1 to 0.9, each one that occurs, and a histogram."""

    deciles: tuple[float, ...]
    histogram: tuple[HistogramBin, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TopClassProbability:
    """Of the class that the selection draws chose, right or wrong: `lower` of the lower bounds of its probability,
    `estimate` of count_a / n. The estimate is unbiased under the fixed rule only; another ends where counts look good.
    """

    lower: Distribution
    estimate: Distribution


def p_a_distribution(rows: Sequence[CertificationRow]) -> TopClassProbability | None:
    """The distribution of p_A over the images of a log; None where its rows do not tell it: in a published log, at
    sigma 0, and under a rule that decides one radius, whose bound is that radius's or nothing."""
    provenances = _provenances(rows)
    if provenances is None:
        return None
    correct_N = np.array([row.correct for row in rows])
    return TopClassProbability(
        lower=_distribution(np.array([one.p_a_lower for one in provenances]), correct_N),
        estimate=_distribution(np.array([one.count_a / one.n for one in provenances]), correct_N),
    )


def p_a_lower_bounds(rows: Sequence[CertificationRow]) -> npt.NDArray[np.float64] | None:
    """The lower bound of p_A of each image, shape `(N,)`; None as for `p_a_distribution`."""
    provenances = _provenances(rows)
    return None if provenances is None else np.array([one.p_a_lower for one in provenances])


def _provenances(rows: Sequence[CertificationRow]) -> list[Provenance] | None:
    known = [row.provenance for row in rows if row.provenance is not None]
    is_unknown = len(known) < len(rows) or any(one.sigma == 0 or one.stopping == AT_RADIUS for one in known)
    return None if is_unknown else known


def _distribution(p_a_N: npt.NDArray[np.float64], correct_N: npt.NDArray[np.bool_]) -> Distribution:
    all_images, _ = np.histogram(p_a_N, bins=EDGES)
    correct, _ = np.histogram(p_a_N[correct_N], bins=EDGES)
    bins = zip(EDGES, EDGES[1:], all_images.tolist(), correct.tolist(), strict=False)
    return Distribution(
        deciles=tuple(np.quantile(p_a_N, DECILES, method="inverted_cdf").tolist()),
        histogram=tuple(
            HistogramBin(low=low, high=high, num_images=num, num_correct=right) for low, high, num, right in bins
        ),
    )
