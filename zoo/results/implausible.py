"""Rows of a log with a bound on a probability that fresh draws for the same image refute."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import betainc

from zoo.results.log import ABSTAIN, CertificationRow, Provenance
from zoo.smoothing.bounds import clopper_pearson_upper
from zoo.smoothing.confidence_sequence import log_wealth_below
from zoo.smoothing.named_rules import FIXED


@dataclass(frozen=True, slots=True, kw_only=True)
class ImplausibleRow:
    """A row whose bound is refuted by fresh draws.

    The row claims `radius` for class `predict`. The claim requires a class probability of at least `p_a_lower`. Of `n`
    fresh draws at most `most_votes` named the class. If the claim also requires that every other class has a
    probability of at most `p_b_upper`, at least `least_votes_b` draws named one of them.
    """

    idx: int
    predict: int
    radius: float
    p_a_lower: float
    most_votes: int
    n: int
    p_b_upper: float | None = None
    least_votes_b: int | None = None


def implausible_rows(
    pairs: Sequence[tuple[CertificationRow, CertificationRow]], *, significance: float
) -> list[ImplausibleRow]:
    """The rows of the log, first in each pair, that the audit's row of the same image refutes.

    The null hypothesis is "the class has a probability of at least p_a_lower", and, if the row has a p_b_upper, "and
    every other class one of at most p_b_upper", each part at half of the level. The level is `significance` / number of
    rows that claim a bound on p_A. A test of a radius that bounds no probability claims none. A row with a true claim
    is refuted with a probability of at most this level. A row of a correct log has a false claim with probability
    alpha, but its bound is then only slightly too high: if the audit makes no more draws than the row has, a claim that
    is both false and refuted is rarer than the level (`test_implausible.py` computes this probability exactly).
    """
    claims = [(claimed, fresh) for claimed, fresh in pairs if claimed.predict != ABSTAIN and _bound_of(claimed) > 0]
    candidates = (_implausible(claimed, fresh, level=significance / len(claims)) for claimed, fresh in claims)
    return [row for row in candidates if row is not None]


def _implausible(claimed: CertificationRow, fresh: CertificationRow, *, level: float) -> ImplausibleRow | None:
    assert fresh.provenance is not None
    assert claimed.provenance is not None  # it has a bound
    most_votes, p_a_lower = _most_votes(claimed.predict, fresh, fresh.provenance), _bound_of(claimed)
    least_votes_b, p_b_upper = _least_votes_b(claimed.predict, fresh, fresh.provenance), claimed.provenance.p_b_upper
    level = level if p_b_upper is None else level / 2
    is_refuted = _refutes(most_votes, fresh.provenance, p_a_lower, level=level)
    if p_b_upper is not None and fresh.provenance.stopping == FIXED:
        is_refuted |= _refutes_runner_up(least_votes_b, fresh.provenance.n, p_b_upper, level=level)
    if not is_refuted:
        return None
    return ImplausibleRow(
        idx=claimed.idx,
        predict=claimed.predict,
        radius=claimed.radius,
        p_a_lower=p_a_lower,
        most_votes=most_votes,
        n=fresh.provenance.n,
        p_b_upper=p_b_upper,
        least_votes_b=None if p_b_upper is None else least_votes_b,
    )


def _most_votes(predict: int, fresh: CertificationRow, provenance: Provenance) -> int:
    """The largest possible number of votes for class `predict` in the fresh row.

    The fresh row counts the votes for the class that it chose and for the most frequent other class. An abstention does
    not record its class.
    """
    for_chosen, for_other = provenance.count_a, provenance.n - provenance.count_a
    for_other = for_other if provenance.count_b is None else provenance.count_b
    if fresh.predict == ABSTAIN:
        return max(for_chosen, for_other)
    return for_chosen if fresh.predict == predict else for_other


def _least_votes_b(predict: int, fresh: CertificationRow, provenance: Provenance) -> int:
    """The smallest possible number of votes for the most frequent class other than `predict` in the fresh row."""
    for_chosen, for_other = provenance.count_a, provenance.count_b or 0
    if fresh.predict == ABSTAIN:
        return min(for_chosen, for_other)
    return for_other if fresh.predict == predict else for_chosen


def _refutes(count: int, provenance: Provenance, p: float, *, level: float) -> bool:
    """Whether `count` votes refute "the probability is at least p".

    The fixed rule is tested by the Clopper-Pearson bound. The other rules stop depending on the votes, so they are
    tested by a confidence sequence, which is valid at any stopping time.
    """
    if provenance.stopping == FIXED:
        return clopper_pearson_upper(count, provenance.n, level) < p
    wealth = log_wealth_below(np.array([count]), np.array([provenance.n]), p)
    return bool(wealth[0] >= math.log(1 / level))


def _refutes_runner_up(count: int, n: int, p: float, *, level: float) -> bool:
    """Whether some class other than the claimed one having `count` votes refutes "each has a probability of at most p".

    P(Binomial(n, q) >= count) / q increases in q up to (count - 1) / (n - 1), because the probability is convex there.
    If p is below that, the probabilities of all classes, which sum to at most 1, add up to at most its value at p.
    """
    if n < 2 or count < 2 or p > (count - 1) / (n - 1):
        return False
    return float(betainc(count, n - count + 1, p)) / p <= level


def _bound_of(row: CertificationRow) -> float:
    """The row's lower bound on p_A; 0 if the row has none."""
    return 0.0 if row.provenance is None else row.provenance.p_a_lower or 0.0
