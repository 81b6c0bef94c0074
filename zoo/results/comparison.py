"""Tests whether an audit refutes the claims of a log, at one significance for all claims together.

The null hypothesis is that the log is a result of the certification procedure under fresh noise. Each claim is a mean
over images. One-sided tests compare it on the images that the log and the audit both certified (`PairedTest`) and on
the images that only one of them certified (`UnpairedTest`). Holm's method limits the probability of refuting any true
claim to the significance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import numpy.typing as npt

from zoo.models.measurements import CertificationResult
from zoo.results.log import ABSTAIN, CertificationRow
from zoo.results.multiple_testing import holm_adjusted
from zoo.results.paired_test import PairedTest
from zoo.results.unpaired_test import UnpairedTest

Images = Literal["same", "other"]


@dataclass(frozen=True, slots=True)
class Claim:
    """A number on the card: the mean of `value` over images; larger is better.

    If `is_share`, `value` is 0 or 1 for every image.
    """

    name: str
    value: Callable[[CertificationRow], float]
    is_share: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedRows:
    """The rows to compare.

    `same` pairs the log's row with the audit's row of the same image. The other two hold the rows of images that only
    the log or only the audit certified.
    """

    same: Sequence[tuple[CertificationRow, CertificationRow]]
    only_log: Sequence[CertificationRow]
    only_audit: Sequence[CertificationRow]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The test of one claim on one set of images.

    `claimed` and `audited` are the means over the `num_claimed` and `num_audited` images compared, fractions if
    `is_share`. `is_refuted` says that `adjusted_p_value`, by Holm's method, is at most the significance. The test
    detects an overstatement of `smallest_overstatement` with probability 90 %; it is None if these images cannot reveal
    any overstatement.
    """

    claim: str
    images: Images
    num_claimed: int
    num_audited: int
    is_share: bool
    claimed: float
    audited: float
    p_value: float
    adjusted_p_value: float
    is_refuted: bool
    smallest_overstatement: float | None


def claims_of(result: CertificationResult) -> list[Claim]:
    """The claims of a card that are means over images. The "share answered" is 1 minus the abstention rate."""
    points = result.certified_accuracy
    claims = [Claim(f"certified accuracy at {point.at}", partial(_holds, point.radius)) for point in points]
    if result.average_certified_radius is not None:
        claims.append(Claim("average certified radius", _certified, is_share=False))
    return [*claims, Claim("share answered", _answered)]


def compare(
    claims: Sequence[Claim], rows: ComparedRows, *, significance: float, generator: np.random.Generator
) -> list[Comparison]:
    """The tests of all claims. Samples that are too small to refute a claim are left out.

    Args:
        claims: The card's numbers to test.
        rows: The rows of the log and of the audit.
        significance: The largest probability, in (0, 1), of refuting any true claim.
        generator: The source of the random permutations.
    """
    samples = [(claim, images, sample) for claim in claims for images, sample in _samples(claim, rows)]
    testable = [sample for sample in samples if sample[2].min_p_value <= significance / len(samples)]
    if not testable:
        return []
    level = significance / len(testable)
    p_values = [
        sample.share_p_value() if claim.is_share else sample.mean_p_value(level=level, generator=generator)
        for claim, _, sample in testable
    ]
    adjusted = holm_adjusted(p_values)
    return [
        Comparison(
            claim=claim.name,
            images=images,
            num_claimed=len(sample.claimed_M),
            num_audited=len(sample.audited_K),
            is_share=claim.is_share,
            claimed=float(sample.claimed_M.mean()),
            audited=float(sample.audited_K.mean()),
            p_value=p_value,
            adjusted_p_value=float(adjusted[index]),
            is_refuted=bool(adjusted[index] <= significance),
            smallest_overstatement=sample.detectable_share(level) if claim.is_share else sample.detectable_mean(level),
        )
        for index, ((claim, images, sample), p_value) in enumerate(zip(testable, p_values, strict=True))
    ]


def _samples(claim: Claim, rows: ComparedRows) -> list[tuple[Images, PairedTest | UnpairedTest]]:
    def values(selected: Iterable[CertificationRow]) -> npt.NDArray[np.float64]:
        return np.array([claim.value(row) for row in selected], dtype=np.float64)

    samples: list[tuple[Images, PairedTest | UnpairedTest]] = []
    if rows.same:
        samples.append(("same", PairedTest(values(log for log, _ in rows.same), values(new for _, new in rows.same))))
    if rows.only_log and rows.only_audit:
        samples.append(("other", UnpairedTest(values(rows.only_log), values(rows.only_audit))))
    return samples


def _holds(radius: float, row: CertificationRow) -> float:
    return float(row.correct and row.radius >= radius)


def _certified(row: CertificationRow) -> float:
    return row.radius if row.correct else 0.0


def _answered(row: CertificationRow) -> float:
    return float(row.predict != ABSTAIN)
