"""PREDICT abstains exactly where the two-sided binomial test does."""

from collections import Counter

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


def test_ten_draws_can_never_decide_and_eleven_can():
    require_can_predict(11, 0.001)
    with pytest.raises(CertificationError, match="the least n is 11"):
        require_can_predict(10, 0.001)
