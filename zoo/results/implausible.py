"""Rows of a log with a claim that fresh draws for the same image refute."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import betainc, ndtr, ndtri

from zoo.results.log import ABSTAIN, CertificationRow, Provenance
from zoo.smoothing.bounds import ROUNDING_DOWN, clopper_pearson_upper
from zoo.smoothing.confidence_sequence import log_wealth_above, log_wealth_below
from zoo.smoothing.named_rules import FIXED
from zoo.smoothing.stopping import LAST_SHARE, TANGENT_BETS, Tally, proved_by_sequence

# Bisection of a probability to this many binary digits.
BISECTIONS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class ImplausibleRow:
    """A row with a claim that is refuted by fresh draws.

    The row claims `radius` for class `predict`. The claim requires a class probability of at least `p_a_lower`. Of `n`
    fresh draws at most `most_votes` named the class. If the claim also requires that every other class has a
    probability of at most `p_b_upper`, at least `least_votes_b` draws named one of them.

    If `radius_by_counts` is given, the row is a test of its counts by bets on tangents. Its counts prove this radius
    even at the level of the audit. The radius requires a class probability of at least `p_a_lower`, unless every other
    class has a probability below `p_b_upper`.
    """

    idx: int
    predict: int
    radius: float
    p_a_lower: float
    most_votes: int
    n: int
    p_b_upper: float | None = None
    least_votes_b: int | None = None
    radius_by_counts: float | None = None


def implausible_rows(
    pairs: Sequence[tuple[CertificationRow, CertificationRow]], *, num_classes: int, significance: float
) -> list[ImplausibleRow]:
    """The rows of the log, first in each pair, that the audit's row of the same image refutes.

    Each row that claims anything is tested at the level `significance` / number of these rows.

    A row with a bound on p_A: the null hypothesis is "the class has a probability of at least p_a_lower", and, if the
    row has a p_b_upper, "and every other class one of at most p_b_upper", each part at half of the level. A row with a
    true claim is refuted with a probability of at most the level. A row of a correct log has a false claim with
    probability alpha, but its bound is then only slightly too high: if the audit makes no more draws than the row has,
    a claim that is both false and refuted is rarer than the level (`test_implausible.py` computes this probability
    exactly).

    A row by bets on tangents without such a bound: it may have made far fewer draws than the audit makes, so a claim
    that is false by bad luck, with probability alpha, would be refuted. The test is therefore not of the claimed
    radius, but of the one that the row's counts prove at half of the level. This radius is wrong with a probability of
    at most half of the level. If it is right, the fresh draws refute it with a probability of at most the other half.

    Args:
        pairs: The rows of the log and of the audit for the same images.
        num_classes: The number of classes of the classifier.
        significance: The probability with which the rows of a correct log may be refuted.
    """
    claims = [(claimed, fresh) for claimed, fresh in pairs if claimed.predict != ABSTAIN and _has_claim(claimed)]
    candidates = (
        _implausible(claimed, fresh, num_classes=num_classes, level=significance / len(claims))
        for claimed, fresh in claims
    )
    return [row for row in candidates if row is not None]


def _implausible(
    claimed: CertificationRow, fresh: CertificationRow, *, num_classes: int, level: float
) -> ImplausibleRow | None:
    if _bound_of(claimed) > 0:
        return _implausible_bound(claimed, fresh, level=level)
    return _implausible_gap(claimed, fresh, num_classes=num_classes, level=level)


def _implausible_gap(
    claimed: CertificationRow, fresh: CertificationRow, *, num_classes: int, level: float
) -> ImplausibleRow | None:
    """The row if fresh draws refute "Phi^-1(p_A) - Phi^-1(p_b) is at least 2 radius / sigma for every other class b".

    For every probability q, this claim implies that p_A is at least Phi(Phi^-1(q) + 2 radius / sigma), or that every
    other class has less than q. The largest q whose second part is refuted is tested, each part at a quarter of the
    level, since q depends on the draws.
    """
    assert fresh.provenance is not None and claimed.provenance is not None  # it has a claim
    how = claimed.provenance
    tally = Tally(count_a=how.count_a, count_b=how.count_b or 0, n=how.n)
    radius = proved_by_sequence(tally, sigma=how.sigma, alpha=level / 2 / (1 - LAST_SHARE))
    if radius is None:
        return None
    least_votes_b = _least_votes_b(claimed.predict, fresh, fresh.provenance)
    q = _runner_up_lower(least_votes_b, fresh.provenance, num_classes=num_classes, level=level / 4)
    if q == 0:
        return None
    p_a_lower = float(ndtr(ndtri(q) + 2 * radius / how.sigma * ROUNDING_DOWN)) * ROUNDING_DOWN
    most_votes = _most_votes(claimed.predict, fresh, fresh.provenance)
    if not _refutes(most_votes, fresh.provenance, p_a_lower, level=level / 4):
        return None
    return _refuted(claimed, fresh, p_a_lower=p_a_lower, p_b_upper=q, radius_by_counts=radius)


def _runner_up_lower(count: int, provenance: Provenance, *, num_classes: int, level: float) -> float:
    """A lower bound on the greatest probability of the other classes, of which one has `count` votes.

    Under the fixed rule, see `_refutes_runner_up`. The other rules stop depending on the votes. They are tested by a
    confidence sequence for each of the other classes, at its share of the level.
    """

    def is_refuted(p: float) -> bool:
        if provenance.stopping == FIXED:
            return _refutes_runner_up(count, provenance.n, p, level=level)
        wealth = log_wealth_above(np.array([count]), np.array([provenance.n]), p)
        return bool(wealth[0] >= math.log((num_classes - 1) / level))

    low, high = 0.0, count / provenance.n
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        if 0 < middle < 1 and is_refuted(middle):
            low = middle
        else:
            high = middle
    return low


def _implausible_bound(claimed: CertificationRow, fresh: CertificationRow, *, level: float) -> ImplausibleRow | None:
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
    return _refuted(claimed, fresh, p_a_lower=p_a_lower, p_b_upper=p_b_upper)


def _refuted(
    claimed: CertificationRow,
    fresh: CertificationRow,
    *,
    p_a_lower: float,
    p_b_upper: float | None,
    radius_by_counts: float | None = None,
) -> ImplausibleRow:
    """The claimed row, with the bounds that its claim requires and the votes of the fresh draws that refute them."""
    assert fresh.provenance is not None
    return ImplausibleRow(
        idx=claimed.idx,
        predict=claimed.predict,
        radius=claimed.radius,
        p_a_lower=p_a_lower,
        most_votes=_most_votes(claimed.predict, fresh, fresh.provenance),
        n=fresh.provenance.n,
        p_b_upper=p_b_upper,
        least_votes_b=None if p_b_upper is None else _least_votes_b(claimed.predict, fresh, fresh.provenance),
        radius_by_counts=radius_by_counts,
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


def _has_claim(row: CertificationRow) -> bool:
    return _bound_of(row) > 0 or (row.provenance is not None and row.provenance.bound == TANGENT_BETS)


def _bound_of(row: CertificationRow) -> float:
    """The row's lower bound on p_A; 0 if the row has none."""
    return 0.0 if row.provenance is None else row.provenance.p_a_lower or 0.0
