"""Rows that fresh draws refute, and how seldom an honest row is."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom, multinomial, norm

from tests.zoo.results.test_log import ALPHA, ANYTIME, AT_HALF, FIXED, N, row, simultaneous_row
from zoo.results import implausible
from zoo.results.implausible import _refutes, _refutes_runner_up, _runner_up_lower, implausible_rows
from zoo.smoothing.bounds import clopper_pearson_lower, clopper_pearson_upper

LEVEL = 0.005 / 50


def named(claimed, fresh, significance=0.005):
    return [found.idx for found in implausible_rows([(claimed, fresh)], num_classes=10, significance=significance)]


def chance_of_naming(p, *, n, fresh_n):
    """That a row of n honest draws is named after `fresh_n` fresh ones, both naming the class with chance p. Exact."""
    lower_of = np.array([clopper_pearson_lower(count, n, ALPHA) for count in range(n + 1)])
    upper_of = np.array([clopper_pearson_upper(count, fresh_n, LEVEL) for count in range(fresh_n + 1)])
    is_named = (upper_of[None, :] < lower_of[:, None]) & (lower_of[:, None] > 0.5)
    return binom.pmf(np.arange(n + 1), n, p) @ is_named @ binom.pmf(np.arange(fresh_n + 1), fresh_n, p)


@pytest.mark.parametrize(("n", "fresh_n"), [(1000, 1000), (1000, 300), (1000, 50), (300, 300)])
def test_an_honest_row_is_named_more_rarely_than_the_level(n, fresh_n):
    for p in (0.3, 0.5, 0.6, 0.8, 0.9, 0.99, 0.999):
        assert chance_of_naming(p, n=n, fresh_n=fresh_n) <= LEVEL


def test_many_more_fresh_draws_than_the_row_had_would_name_honest_rows_too_often():
    assert chance_of_naming(0.9, n=100, fresh_n=20_000) > 2 * LEVEL


@pytest.mark.parametrize("rule", [FIXED, ANYTIME, AT_HALF])
def test_a_row_is_named_if_fresh_draws_refute_its_bound_and_not_if_they_are_a_little_lower(rule):
    claimed = row(990, rule=rule)
    # 0.5 needs a probability of 0.84; the others claim 0.976.
    assert named(claimed, row(700, rule=rule)) == [3]
    assert named(claimed, row(985, rule=rule)) == named(claimed, row(990, rule=rule)) == []


def test_what_is_said_of_a_row_is_its_claim_and_the_fresh_votes():
    (found,) = implausible_rows([(row(990), row(700))], num_classes=10, significance=0.005)
    assert (found.predict, found.most_votes, found.n) == (4, 700, N)
    assert (found.radius, found.p_a_lower) == (row(990).radius, row(990).provenance.p_a_lower)


def test_votes_for_another_class_and_abstentions_count_for_the_claimed_class_as_far_as_they_can():
    claimed = row(600)
    assert named(claimed, replace(row(600), predict=7)) == [3]  # at most 400 votes
    assert named(claimed, row(500)) == [3]  # an abstention: 500 votes, whichever class was meant
    assert named(claimed, row(400)) == []  # an abstention from another class: the claimed one may have had 600


def test_rows_that_claim_nothing_are_never_named_and_do_not_cost_the_others_their_level():
    abstained = [(row(500, idx=100 + idx), row(100, idx=100 + idx)) for idx in range(500)]
    # The upper bound of 942 votes reaches the claim at level 1e-6 but not at 0.005.
    claimed, fresh = row(990), row(948)
    assert named(claimed, fresh) == [3]
    pairs = [(claimed, fresh), *abstained]
    assert [found.idx for found in implausible_rows(pairs, num_classes=10, significance=0.005)] == [3]
    many = [(claimed, fresh), *[(row(990, idx=100 + idx), row(990)) for idx in range(500)]]
    assert implausible_rows(many, num_classes=10, significance=1e-6) == []
    assert implausible_rows([], num_classes=10, significance=0.005) == []


def test_a_row_that_claims_too_little_for_the_runner_up_is_named():
    claimed = simultaneous_row(500, 260)
    assert claimed.predict == 4
    assert named(claimed, simultaneous_row(500, 400)) == [3]
    assert named(claimed, simultaneous_row(500, 270)) == []
    (found,) = implausible_rows([(claimed, simultaneous_row(500, 400))], num_classes=10, significance=0.005)
    assert (found.least_votes_b, found.p_b_upper) == (400, claimed.provenance.p_b_upper)
    # An abstention does not record its class: the runner-up of the claimed one may be either.
    assert simultaneous_row(420, 400).predict == -1 and named(claimed, simultaneous_row(420, 400)) == [3]
    assert named(claimed, replace(claimed, predict=7)) == [3]


@pytest.mark.parametrize("p", [0.05, 0.2, 0.4])
def test_an_honest_row_is_named_for_its_runner_up_more_rarely_than_half_of_the_level(p):
    """Exact, for one other class of probability p, and for several that share the rest of it."""
    n = 300
    upper = [clopper_pearson_upper(count, n, ALPHA / 2) for count in range(n + 1)]
    is_named = [[_refutes_runner_up(fresh, n, bound, level=LEVEL / 2) for fresh in range(n + 1)] for bound in upper]
    counts = binom.pmf(np.arange(n + 1), n, p)
    assert counts @ np.array(is_named) @ counts <= LEVEL / 2
    # A bound that is exactly right is refuted at the level, by the most frequent of as many classes as can be.
    exact = [_refutes_runner_up(fresh, n, p, level=LEVEL) for fresh in range(n + 1)]
    assert binom.pmf(np.arange(n + 1), n, p) @ exact * (1 / p) <= LEVEL
    assert any(exact) and not _refutes_runner_up(1, n, p, level=0.5)


def bets_row(count_a, count_b, n, *, certifies=True, radius=0.5, stopping="at-radius"):
    """A row of bets on tangents. Its counts are not checked here."""
    base = row(990, rule=AT_HALF)
    how = replace(
        base.provenance, count_a=count_a, count_b=count_b, n=n, bound="tangent-bets", p_a_lower=None,
        radius_asked=radius, stopping=stopping,
    )  # fmt: skip
    return replace(base, provenance=how, radius=radius if certifies else 0.0, predict=4 if certifies else -1)


def test_a_row_by_bets_is_named_if_fresh_draws_refute_what_its_counts_prove():
    claimed = bets_row(300, 0, 300)
    assert named(claimed, bets_row(120, 80, 200, certifies=False)) == [3]
    assert named(claimed, bets_row(0, 500, 500, certifies=False)) == []  # the class of the abstention is not recorded
    assert named(claimed, replace(bets_row(200, 0, 200), predict=7)) == [3]  # all for another class
    assert named(claimed, bets_row(55, 0, 55)) == named(claimed, bets_row(280, 20, 300)) == []
    assert named(bets_row(300, 0, 300, stopping="anytime"), bets_row(120, 80, 200, stopping="anytime")) == [3]
    assert named(bets_row(300, 0, 300, certifies=False), bets_row(120, 80, 200, certifies=False)) == []
    (found,) = implausible_rows([(claimed, bets_row(120, 80, 200))], num_classes=10, significance=0.005)
    assert (found.radius, found.most_votes, found.least_votes_b, found.n) == (0.5, 120, 80, 200)
    assert 0.5 < found.radius_by_counts < 1.0 and found.p_b_upper < 80 / 200
    gap = 2 * found.radius_by_counts / 0.5
    assert found.p_a_lower == pytest.approx(norm.cdf(norm.ppf(found.p_b_upper) + gap), rel=1e-12)


def test_a_row_by_bets_that_certified_by_bad_luck_after_few_draws_is_not_named():
    """The true radius is 0.42. The 55 draws of the row all agreed, and 20,000 fresh ones refute the radius 0.5."""
    fresh = bets_row(16_000, 4_000, 20_000, certifies=False)
    q = _runner_up_lower(4_000, fresh.provenance, num_classes=10, level=LEVEL)
    assert _refutes(16_000, fresh.provenance, norm.cdf(norm.ppf(q) + 2), level=LEVEL)
    assert named(bets_row(55, 0, 55), fresh, significance=LEVEL) == []


@pytest.mark.parametrize("stopping", ["fixed", "at-radius"])
@pytest.mark.parametrize(("p_b", "gap"), [(0.4, 0.3), (0.3, 0.3), (0.1, 2.0)])
def test_a_radius_that_is_right_is_refuted_at_most_at_half_of_the_level(stopping, p_b, gap, monkeypatch):
    """Exact, for three classes at the boundary: the counts prove the true radius. Over all outcomes of 20 draws."""
    level, n = 0.5, 20
    monkeypatch.setattr(implausible, "proved_by_sequence", lambda *_, **__: 0.5 / 2 * gap)
    p_a = norm.cdf(norm.ppf(p_b) + gap)
    chance = 0.0
    for a in range(n + 1):
        for b in range(n + 1 - a):
            fresh = bets_row(a, max(b, n - a - b), n, stopping=stopping)
            if implausible_rows([(bets_row(1, 0, 1), fresh)], num_classes=3, significance=level):
                chance += multinomial.pmf([a, b, n - a - b], n, [p_a, p_b, 1 - p_a - p_b])
    assert 0 < chance <= level / 2
