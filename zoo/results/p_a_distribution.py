"""The distribution over images of p_A: the probability under noise of the true class, or of the selected class.

The average certified radius alone can mislead. It grows without limit as p_A approaches 1, and so rewards making easy
images easier; even a trivial classifier can have a large one (Sun et al. 2025, arXiv 2410.06895). The distribution of
p_A of the true class shows all images alike. Logs of earlier versions record only the votes for the selected class.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from zoo.models.measurements import LabelDistribution, ShareAtMost
from zoo.results.log import CertificationRow, Provenance
from zoo.smoothing.named_rules import AT_RADIUS, FIXED

CONFIDENCE = 0.95
POINTS = (0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999)
"""The values of p_A at which reports and cards give the distribution function."""

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
    """The distributions of p_A of the class that the selection draws chose, whether it is correct or not.

    `lower` is the distribution of the lower bounds, `estimate` that of count_a / n. The estimate is unbiased under the
    fixed rule only: the other rules stop when the counts look favourable.
    """

    lower: Distribution
    estimate: Distribution


def p_a_distribution(rows: Sequence[CertificationRow]) -> TopClassProbability | None:
    """The distribution of p_A of the selected class over the images of a log.

    None for a published log, at sigma 0, and for rows without a bound of p_A. The at-radius rule has none: its bound is
    that of the requested radius or 0.
    """
    provenances, lower_N = _provenances(rows), p_a_lower_bounds(rows)
    if provenances is None or lower_N is None:
        return None
    correct_N = np.array([row.correct for row in rows])
    return TopClassProbability(
        lower=_distribution(lower_N, correct_N),
        estimate=_distribution(np.array([provenance.count_a / provenance.n for provenance in provenances]), correct_N),
    )


def p_a_lower_bounds(rows: Sequence[CertificationRow]) -> npt.NDArray[np.float64] | None:
    """The lower bound of p_A for each image, shape `(N,)`; None in the same cases as for `p_a_distribution`."""
    provenances = _provenances(rows)
    lower = [provenance.p_a_lower for provenance in provenances or [] if provenance.p_a_lower is not None]
    return np.array(lower) if provenances is not None and len(lower) == len(provenances) else None


def label_distribution(rows: Sequence[CertificationRow]) -> LabelDistribution | None:
    """The distribution of p_A of the true class over the images of a log, with its 95 % band.

    None in the cases that `why_no_p_a_of_label` names.
    Source: Massart 1990 for the band: sqrt(log(2 / delta) / (2 N)) around the empirical distribution function of N
    independent values (Dvoretzky, Kiefer and Wolfowitz 1956).
    """
    p_a_N = p_a_of_label(rows)
    if p_a_N is None:
        return None
    half_width = dkw_half_width(len(p_a_N))
    shares = [float((p_a_N <= p_a).mean()) for p_a in POINTS]
    return LabelDistribution(
        confidence=CONFIDENCE,
        half_width=half_width,
        points=tuple(
            ShareAtMost(p_a=p_a, share=share, low=max(0.0, share - half_width), high=min(1.0, share + half_width))
            for p_a, share in zip(POINTS, shares, strict=True)
        ),
    )


def dkw_half_width(num_images: int) -> float:
    """Half of the width of the 95 % band around an empirical distribution function of `num_images` values."""
    return math.sqrt(math.log(2 / (1 - CONFIDENCE)) / (2 * num_images))


def p_a_of_label(rows: Sequence[CertificationRow]) -> npt.NDArray[np.float64] | None:
    """The unbiased estimate count_label / n of p_A of each image's true class, shape `(N,)`.

    None in the cases that `why_no_p_a_of_label` names.
    """
    if why_no_p_a_of_label(rows) is not None:
        return None
    known = [row.provenance for row in rows if row.provenance is not None]
    return np.array([how.count_label / how.n for how in known if how.count_label is not None])


def why_no_p_a_of_label(rows: Sequence[CertificationRow]) -> str | None:
    """The reason why a log does not determine the distribution of p_A of the true class; None if it does."""
    known = [row.provenance for row in rows if row.provenance is not None and row.provenance.count_label is not None]
    if len(known) < len(rows) or not known:
        return "the log does not record count_label, the votes for the true class"
    if any(provenance.sigma == 0 for provenance in known):
        return "there is no noise at sigma 0"
    adaptive = next((provenance.stopping for provenance in known if provenance.stopping != FIXED), None)
    return None if adaptive is None else f"the rule {adaptive} stops depending on the votes, so their share is biased"


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
