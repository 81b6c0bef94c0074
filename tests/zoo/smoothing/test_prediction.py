"""PREDICT abstains exactly where the two-sided binomial test does."""

from collections import Counter
from fractions import Fraction
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from zoo.errors import CertificationError
from zoo.smoothing.prediction import fair_coin_p_value, predict_from_votes, require_can_predict


@given(st.integers(0, 500), st.integers(0, 500))
def test_the_p_value_is_that_of_the_binomial_test(first, second):
    first, second = max(first, second), min(first, second)
    expected = binomtest(first, first + second, 0.5).pvalue if first else 1.0
    assert fair_coin_p_value(first, first + second) == pytest.approx(expected, rel=1e-9)


def predict(*counts):
    return predict_from_votes(Counter(dict(enumerate(counts))), alpha=0.001, sigma=0.5)


def test_the_most_frequent_class_is_answered_and_a_close_race_is_not():
    assert predict(10, 67, 23).label == 1
    assert predict(45, 55, 0).label is None


@pytest.mark.parametrize(("first", "decided"), [(67, True), (66, False)])
def test_the_fewest_votes_that_decide_among_100_between_two_classes_are_67(first, decided):
    votes = predict(first, 100 - first)
    assert (votes.label is not None) == decided


def test_the_top_classes_are_listed_most_frequent_first_without_empty_ones():
    votes = predict(5, 0, 80, 15)
    assert (votes.n, votes.top) == (100, ((2, 80), (3, 15), (0, 5)))
    assert (votes.alpha, votes.sigma) == (0.001, 0.5)


def test_ten_draws_can_never_decide_and_eleven_can():
    require_can_predict(11, 0.001)
    with pytest.raises(CertificationError, match="the least n is 11"):
        require_can_predict(10, 0.001)


@pytest.mark.parametrize(("count", "n"), [(1, 1), (10, 10), (67, 100), (51, 100), (530, 1000), (900, 1000)])
def test_the_p_value_is_never_below_the_exact_one_and_hardly_above(count, n):
    exact = min(Fraction(1), Fraction(2 * sum(comb(n, k) for k in range(count, n + 1)), 2**n))
    assert exact <= Fraction(fair_coin_p_value(count, n)) <= exact * Fraction(1 + 2**-39)


def test_a_p_value_that_equals_alpha_decides_and_no_votes_have_p_value_one():
    alpha = fair_coin_p_value(10, 10)
    require_can_predict(10, alpha)
    assert predict_from_votes(Counter({4: 10}), alpha=alpha, sigma=0.5).label == 4
    assert predict_from_votes(Counter({4: 10}), alpha=alpha * 0.999, sigma=0.5).label is None
    assert (fair_coin_p_value(0, 0), fair_coin_p_value(1, 1), fair_coin_p_value(1, 2)) == (1.0, 1.0, 1.0)


def test_the_lowest_class_comes_first_on_ties_and_at_most_five_are_listed():
    votes = predict(3, 3, 3, 3, 3, 3)
    assert votes.label is None and votes.abstained and votes.top == tuple((label, 3) for label in range(5))
    assert predict_from_votes(Counter({7: 3, 2: 3}), alpha=1.0, sigma=0.25).label == 2
