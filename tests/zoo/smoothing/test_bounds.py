"""Clopper-Pearson: equal to the reference, exact in coverage, and refusing what is no count."""

import math

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.special import betainccinv, betaincinv
from statsmodels.stats.proportion import proportion_confint

from zoo.errors import CertificationError
from zoo.smoothing.bounds import clopper_pearson_lower, clopper_pearson_upper, least_n


def wald_lower(count: int, n: int, alpha: float) -> float:
    """The textbook normal approximation, which does not hold its level: the negative control."""
    p = count / n
    return p - stats.norm.isf(alpha) * math.sqrt(p * (1 - p) / n)


def chance_of_overshooting(bound, *, p: float, n: int, alpha: float) -> float:
    """Exact probability over Binomial(n, p) that the bound lies above p."""
    counts = np.arange(n + 1)
    above = np.array([bound(int(count), n, alpha) > p for count in counts])
    return float(stats.binom.pmf(counts, n, p)[above].sum())


@pytest.mark.parametrize("p", [0.5, 0.6, 0.9, 0.99, 0.9999])
@pytest.mark.parametrize("n", [10, 100, 1000])
@pytest.mark.parametrize("alpha", [0.001, 0.05])
def test_the_lower_bound_is_above_p_with_probability_at_most_alpha(p, n, alpha):
    assert chance_of_overshooting(clopper_pearson_lower, p=p, n=n, alpha=alpha) <= alpha * (1 + 1e-9)


def test_the_normal_approximation_fails_the_same_test():
    assert chance_of_overshooting(wald_lower, p=0.99, n=100, alpha=0.001) > 0.1


@given(st.integers(1, 5000), st.data(), st.floats(1e-6, 0.4))
def test_the_bound_is_that_of_statsmodels_and_grows_with_the_count(n, data, alpha):
    count = data.draw(st.integers(1, n))
    bound = clopper_pearson_lower(count, n, alpha)
    assert bound == pytest.approx(proportion_confint(count, n, 2 * alpha, "beta")[0], abs=1e-12)
    assert clopper_pearson_lower(count - 1, n, alpha) < bound <= count / n


def exact_tail(count: int, n: int, p: mpmath.mpf) -> mpmath.mpf:
    """P(Binomial(n, p) >= count), term by term."""
    term = p**count * (1 - p) ** (n - count) * mpmath.binomial(n, count)
    total = term
    for k in range(count, n):
        term *= p / (1 - p) * (n - k) / (k + 1)
        total += term
    return total


@pytest.mark.parametrize(("n", "counts"), [(10, (6, 9, 10)), (1000, (501, 990, 1000)), (100_000, (99_900, 100_000))])
@pytest.mark.parametrize("alpha", [1e-100, 1e-20, 0.001, 0.4])
def test_the_bound_is_never_above_the_exact_one(n, counts, alpha):
    with mpmath.workdps(60):
        for count in counts:
            assert exact_tail(count, n, mpmath.mpf(clopper_pearson_lower(count, n, alpha))) <= mpmath.mpf(alpha)


@given(st.integers(1, 5000), st.data(), st.floats(1e-6, 0.4))
def test_the_upper_bound_is_that_of_statsmodels_and_mirrors_the_lower_one(n, data, alpha):
    count = data.draw(st.integers(0, n))
    bound = clopper_pearson_upper(count, n, alpha)
    if count < n:  # statsmodels answers nan there
        assert bound == pytest.approx(proportion_confint(count, n, 2 * alpha, "beta")[1], abs=1e-12)
    assert bound == pytest.approx(1 - clopper_pearson_lower(n - count, n, alpha), abs=1e-12)
    assert count / n <= bound <= 1


@pytest.mark.parametrize("p", [0.0001, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("alpha", [0.001, 0.05])
def test_the_upper_bound_is_below_p_with_probability_at_most_alpha(p, alpha):
    counts = np.arange(101)
    below = np.array([clopper_pearson_upper(int(count), 100, alpha) < p for count in counts])
    assert float(stats.binom.pmf(counts, 100, p)[below].sum()) <= alpha * (1 + 1e-9)


@pytest.mark.parametrize(("n", "counts"), [(10, (0, 1, 4)), (1000, (0, 10, 499)), (100_000, (0, 100))])
@pytest.mark.parametrize("alpha", [1e-100, 1e-20, 0.001, 0.4])
def test_the_upper_bound_is_never_below_the_exact_one(n, counts, alpha):
    with mpmath.workdps(60):
        for count in counts:  # P(Binomial(n, p) <= count) is the upper tail of the failures
            p = mpmath.mpf(clopper_pearson_upper(count, n, alpha))
            assert p == 1 or exact_tail(n - count, n, 1 - p) <= mpmath.mpf(alpha)


@pytest.mark.parametrize("alpha", [0.5, 0.1, 0.05, 0.001, 2.0**-10, 1e-9])
def test_the_least_n_can_certify_and_one_less_cannot(alpha):
    least = least_n(alpha)
    assert clopper_pearson_lower(least, least, alpha) > 0.5
    assert least == 1 or clopper_pearson_lower(least - 1, least - 1, alpha) <= 0.5


@pytest.mark.parametrize(("agreeing", "n"), [(66, 100), (550, 1000), (5156, 10_000), (50_490, 100_000)])
def test_the_fewest_agreeing_draws_that_certify_are_the_published_ones(agreeing, n):
    assert clopper_pearson_lower(agreeing, n, 0.001) > 0.5 >= clopper_pearson_lower(agreeing - 1, n, 0.001)


@pytest.mark.parametrize(("count", "n", "alpha"), [(-1, 10, 0.1), (11, 10, 0.1), (0, 0, 0.1), (5, 10, 0), (5, 10, 1)])
def test_what_is_no_count_or_no_level_is_refused(count, n, alpha):
    with pytest.raises(CertificationError):
        clopper_pearson_lower(count, n, alpha)


def test_bounds_are_eight_spacings_of_floating_point_numbers_on_the_safe_side_of_scipys():
    """A spacing below 1 is 2^-53. SciPy's own error is smaller than eight of them."""
    for count, n, alpha in ((990, 1000, 0.001), (99_950, 100_000, 0.05)):
        lower, upper = betaincinv(count, n - count + 1, alpha), betainccinv(count + 1, n - count, alpha)
        assert 7 <= (lower - clopper_pearson_lower(count, n, alpha)) * 2**53 <= 8
        assert 7 <= (clopper_pearson_upper(count, n, alpha) - upper) * 2**53 <= 8


@pytest.mark.parametrize("n", [1, 10, 100_000])
def test_no_votes_bound_nothing_from_below_and_all_votes_nothing_from_above(n):
    assert clopper_pearson_lower(0, n, 0.4) == 0.0 and clopper_pearson_upper(n, n, 0.4) == 1.0
    assert clopper_pearson_lower(n, n, 0.4) == pytest.approx(0.4 ** (1 / n), rel=1e-14)
    assert clopper_pearson_upper(0, n, 0.4) == pytest.approx(1 - 0.4 ** (1 / n), rel=1e-11)
    assert clopper_pearson_upper(n - 1, n, 1e-100) <= 1.0


@pytest.mark.parametrize(("alpha", "least"), [(0.6, 1), (0.5, 2), (0.25, 3), (0.001, 10), (2.0**-10, 11), (1e-9, 30)])
def test_the_least_n_is_the_number_of_halvings_that_reach_alpha(alpha, least):
    assert least_n(alpha) == least
