"""Rows of a log whose bound on p_A is refuted by fresh draws for the same image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from zoo.results.log import ABSTAIN, CertificationRow, Provenance
from zoo.smoothing.bounds import clopper_pearson_upper
from zoo.smoothing.confidence_sequence import log_wealth_below
from zoo.smoothing.named_rules import FIXED


@dataclass(frozen=True, slots=True, kw_only=True)
class ImplausibleRow:
    """A row whose bound is refuted by fresh draws.

    The row claims `radius` for class `predict`. The claim requires a class probability of at least `p_a_lower`. Of `n`
    fresh draws at most `most_votes` named the class.
    """

    idx: int
    predict: int
    radius: float
    p_a_lower: float
    most_votes: int
    n: int


def implausible_rows(
    pairs: Sequence[tuple[CertificationRow, CertificationRow]], *, significance: float
) -> list[ImplausibleRow]:
    """The rows of the log, first in each pair, that the audit's row of the same image refutes.

    The null hypothesis is "the class has a probability of at least p_a_lower". Its level is `significance` / number of
    rows that claim a radius. A row with a true claim is refuted with a probability of at most this level. A row of a
    correct log has a false claim with probability alpha, but its bound is then only slightly too high: if the audit
    makes no more draws than the row has, a claim that is both false and refuted is rarer than the level
    (`test_implausible.py` computes this probability exactly).
    """
    claims = [(claimed, fresh) for claimed, fresh in pairs if claimed.predict != ABSTAIN and _bound_of(claimed) > 0]
    candidates = (_implausible(claimed, fresh, level=significance / len(claims)) for claimed, fresh in claims)
    return [row for row in candidates if row is not None]


def _implausible(claimed: CertificationRow, fresh: CertificationRow, *, level: float) -> ImplausibleRow | None:
    assert fresh.provenance is not None
    most_votes, p_a_lower = _most_votes(claimed.predict, fresh, fresh.provenance), _bound_of(claimed)
    if not _refutes(most_votes, fresh.provenance, p_a_lower, level=level):
        return None
    return ImplausibleRow(
        idx=claimed.idx,
        predict=claimed.predict,
        radius=claimed.radius,
        p_a_lower=p_a_lower,
        most_votes=most_votes,
        n=fresh.provenance.n,
    )


def _most_votes(predict: int, fresh: CertificationRow, provenance: Provenance) -> int:
    """The largest possible number of votes for class `predict` in the fresh row.

    The fresh row counts only the votes for the class that it chose, and an abstention does not record this class.
    """
    for_chosen, for_others = provenance.count_a, provenance.n - provenance.count_a
    if fresh.predict == ABSTAIN:
        return max(for_chosen, for_others)
    return for_chosen if fresh.predict == predict else for_others


def _refutes(count: int, provenance: Provenance, p: float, *, level: float) -> bool:
    """Whether `count` votes refute "the probability is at least p".

    The fixed rule is tested by the Clopper-Pearson bound. The other rules stop depending on the votes, so they are
    tested by a confidence sequence, which is valid at any stopping time.
    """
    if provenance.stopping == FIXED:
        return clopper_pearson_upper(count, provenance.n, level) < p
    wealth = log_wealth_below(np.array([count]), np.array([provenance.n]), p)
    return bool(wealth[0] >= math.log(1 / level))


def _bound_of(row: CertificationRow) -> float:
    return 0.0 if row.provenance is None else row.provenance.p_a_lower
