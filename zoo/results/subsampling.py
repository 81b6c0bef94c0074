"""Subsampling of a log to fewer draws per image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from zoo.errors import CertificationError
from zoo.results.log import ABSTAIN, CertificationRow, Provenance
from zoo.smoothing.bounds import clopper_pearson_lower
from zoo.smoothing.named_rules import FIXED
from zoo.smoothing.radius import certified_radius
from zoo.smoothing.stopping import CLOPPER_PEARSON


def subsampled(rows: Sequence[CertificationRow], n: int, *, generator: np.random.Generator) -> list[CertificationRow]:
    """The rows that a random choice of `n` of the draws of each image gives; they have the distribution of `n` draws.

    The draws of a row are exchangeable, so the number of votes for the class among `n` of them is hypergeometric. An
    abstention does not record its class and stays an abstention. Rows of `n` draws are returned unchanged.
    The votes for other classes among the chosen draws are left out: the counts of a row do not determine them.
    Raises: CertificationError if a row has fewer draws; if its rule is not the fixed one, because the other rules stop
    depending on the order of the draws; or if its bound also uses the runner-up, which may be another class among
    fewer draws.
    """
    return [_subsampled(row, row.provenance, n, generator) for row in rows if row.provenance is not None]


def _subsampled(
    row: CertificationRow, provenance: Provenance, n: int, generator: np.random.Generator
) -> CertificationRow:
    if n == provenance.n:
        return row
    if provenance.stopping != FIXED or n > provenance.n:
        raise CertificationError(
            f"a row of {provenance.n} draws under the rule {provenance.stopping} cannot be subsampled to {n}: that "
            f"needs the rule {FIXED} and a smaller number of draws"
        )
    if provenance.bound != CLOPPER_PEARSON:
        raise CertificationError(f"a row with the bound {provenance.bound} cannot be subsampled to {n} draws")
    count_a = int(generator.hypergeometric(provenance.count_a, provenance.n - provenance.count_a, n))
    p_a_lower = clopper_pearson_lower(count_a, n, provenance.alpha)
    is_certified = row.predict != ABSTAIN and 0.5 < p_a_lower < 1
    return replace(
        row,
        predict=row.predict if is_certified else ABSTAIN,
        radius=certified_radius(p_a_lower, provenance.sigma) if is_certified else 0.0,
        correct=row.correct and is_certified,
        provenance=replace(provenance, count_a=count_a, n=n, p_a_lower=p_a_lower, count_b=None, count_label=None),
    )
