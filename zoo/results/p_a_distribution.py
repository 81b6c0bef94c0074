"""The distribution over images of p_A, the probability under noise of the class that the smoothed classifier predicts.

The average certified radius alone can mislead. It grows without limit as p_A approaches 1, and so rewards making easy
images easier (Sun et al. 2024, arXiv 2410.06895). The distribution of p_A shows which images contribute to it.
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
"""Certification needs p_A > 1/2. The radius grows fastest near 1, so the bins are narrow there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HistogramBin:
    """The number of images with p_A in [low, high), or in [low, high] for the last bin.

    `num_correct` of them are classified correctly.
    """

    low: float
    high: float
    num_images: int
    num_correct: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """The deciles 0.1 to 0.9 over all images, each a value that occurs, and a histogram."""

    deciles: tuple[float, ...]
    histogram: tuple[HistogramBin, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TopClassProbability:
    """The distributions of p_A for the class that the selection draws chose, whether it is correct or not.

    `lower` is the distribution of the lower bounds, `estimate` that of count_a / n. The estimate is unbiased under the
    fixed rule only: the other rules stop when the counts look favourable.
    """

    lower: Distribution
    estimate: Distribution


def p_a_distribution(rows: Sequence[CertificationRow]) -> TopClassProbability | None:
    """The distribution of p_A over the images of a log.

    None for a published log, at sigma 0, and under the at-radius rule: its bound is that of the requested radius or 0.
    """
    provenances = _provenances(rows)
    if provenances is None:
        return None
    correct_N = np.array([row.correct for row in rows])
    return TopClassProbability(
        lower=_distribution(np.array([provenance.p_a_lower for provenance in provenances]), correct_N),
        estimate=_distribution(np.array([provenance.count_a / provenance.n for provenance in provenances]), correct_N),
    )


def p_a_lower_bounds(rows: Sequence[CertificationRow]) -> npt.NDArray[np.float64] | None:
    """The lower bound of p_A for each image, shape `(N,)`; None in the same cases as for `p_a_distribution`."""
    provenances = _provenances(rows)
    return None if provenances is None else np.array([provenance.p_a_lower for provenance in provenances])


def _provenances(rows: Sequence[CertificationRow]) -> list[Provenance] | None:
    known = [row.provenance for row in rows if row.provenance is not None]
    if len(known) < len(rows):
        return None
    has_no_p_a = any(provenance.sigma == 0 or provenance.stopping == AT_RADIUS for provenance in known)
    return None if has_no_p_a else known


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
