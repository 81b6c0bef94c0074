"""The gambler's wealth is what the integral says, never rounded up, and its bound is where it reaches 1 / alpha."""

import math

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo.smoothing.confidence_sequence import log_wealth_above, log_wealth_below, mixture_lower


def exact_log_wealth(count, n, p, *, low, high):
    """log of the integral over q in [low, high] of the likelihood ratio of q to p, under Beta(1/2, 1/2) restricted."""
    with mpmath.workdps(30):
        p = mpmath.mpf(p)

        def prior(q):
            return 1 / mpmath.sqrt(q * (1 - q))

        def ratio(q):
            return mpmath.exp(count * mpmath.log(q / p) + (n - count) * mpmath.log((1 - q) / (1 - p)))

        middle = min(max(mpmath.mpf(count) / n, low), high)
        points = sorted({mpmath.mpf(low), middle, mpmath.mpf(high)})
        total = mpmath.quad(lambda q: prior(q) * ratio(q), points)
        return mpmath.log(total / mpmath.quad(prior, [low, high]))


@pytest.mark.parametrize(("count", "n"), [(1, 1), (0, 1), (9, 10), (37, 50), (95, 100), (290, 300)])
@pytest.mark.parametrize("p", [0.5, 0.8413, 0.97])
def test_the_wealth_is_the_integral_of_likelihood_ratios_and_never_more(count, n, p):
    counts, nums = np.array([count]), np.array([n])
    for found, low, high in (
        (log_wealth_above(counts, nums, p)[0], p, 1),
        (log_wealth_below(counts, nums, p)[0], 0, p),
    ):
        exact = exact_log_wealth(count, n, p, low=low, high=high)
        assert exact - mpmath.mpf(1e-6) <= found <= exact + mpmath.mpf(1e-15)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 3000), st.data(), st.sampled_from([0.001, 0.05, 1e-12]))
def test_the_bound_is_where_the_wealth_reaches_one_over_alpha(n, data, alpha):
    count = data.draw(st.integers(-(-n // 2), n))
    bound = mixture_lower(np.array([count]), np.array([n]), alpha)[0]
    assert 0 <= bound < count / n

    def log_wealth(p):
        with mpmath.workdps(1000):
            prior = mpmath.beta(0.5, 0.5) / 2
            mixture = mpmath.betainc(count + 0.5, n - count + 0.5, 0.5, 1) / prior
            return mpmath.log(mixture) - count * mpmath.log(p) - (n - count) * mpmath.log(1 - mpmath.mpf(p))

    if bound > 0:
        assert log_wealth(bound) >= math.log(1 / alpha)
        assert log_wealth(min(bound * (1 + 1e-7), count / n)) < math.log(1 / alpha) + 1e-9 * n


def test_at_large_n_rounding_stays_on_the_safe_side():
    n, count = 100_000, 99_000  # the prior's restriction to (1/2, 1] cuts off nothing of the likelihood here
    bound = mixture_lower(np.array([count]), np.array([n]), 0.001)[0]
    with mpmath.workdps(60):
        mixture = mpmath.log(2 * mpmath.beta(count + 0.5, n - count + 0.5) / mpmath.beta(0.5, 0.5))
        wealth = mixture - count * mpmath.log(bound) - (n - count) * mpmath.log(1 - mpmath.mpf(bound))
        assert 0 <= wealth - mpmath.log(1000) < 1e-5


def test_nothing_drawn_in_favour_bounds_nothing():
    assert list(mixture_lower(np.array([0, 0]), np.array([1, 1000]), 0.001)) == [0.0, 0.0]
    assert 0 <= mixture_lower(np.array([3]), np.array([1000]), 0.001)[0] < 1e-100


def test_votes_that_the_bets_are_against_leave_no_wealth():
    """The probability of the draws on the side of the bets is below the smallest float."""
    assert log_wealth_above(np.array([0]), np.array([100_000]), 0.97)[0] == -math.inf
    assert list(mixture_lower(np.array([0]), np.array([100_000]), 0.001)) == [0.0]


def test_the_bound_grows_with_the_count():
    counts = np.arange(500, 1001)
    assert (np.diff(mixture_lower(counts, np.full_like(counts, 1000), 0.01)) > 0).all()


def test_the_last_digit_of_a_bound_does_not_depend_on_its_company():
    nums = np.arange(1, 700)
    counts = np.random.default_rng(0).binomial(nums, 0.93)
    together = mixture_lower(counts, nums, 0.001)
    alone = [mixture_lower(counts[i : i + 1], nums[i : i + 1], 0.001)[0] for i in range(len(nums))]
    assert list(together) == alone


@pytest.mark.parametrize(
    ("count", "n", "p", "above", "below"),
    [
        (9, 10, 0.5, 2.940330994636505, -2.6581308377429416),
        (37, 50, 0.8, -2.373368606623486, -1.468344512465598),
        (990, 1000, 0.97, 7.734496839305216, -5.835455703804136),
        (99_000, 100_000, 0.98, 308.3595334281711, -9.92539393479335),
    ],
)
def test_the_wealth_is_this_number_less_than_the_exact_one_by_its_slack(count, n, p, above, below):
    found = [log_wealth(np.array([count]), np.array([n]), p)[0] for log_wealth in (log_wealth_above, log_wealth_below)]
    slack = n * 1e-12 + 1e-9  # changes of the slack itself would be noticed
    assert found == pytest.approx([above, below], rel=0, abs=slack / 3)


@pytest.mark.parametrize(
    ("count", "n", "alpha", "bound"),
    [
        (1, 1, 0.05, 0.05 * (1 / 2 + 1 / math.pi) * (1 - 1.001e-9)),
        (12, 12, 0.001, 0.5117138101250227),
        (95, 100, 0.001, 0.8069154210870016),
        (990, 1000, 0.05, 0.9749437315781132),
        (99_000, 100_000, 0.001, 0.9883653904810663),
    ],
)
def test_the_bound_is_this_number(count, n, alpha, bound):
    """The numbers are the roots of the exact equation, as in the property above, less the slack."""
    assert mixture_lower(np.array([count]), np.array([n]), alpha)[0] == pytest.approx(bound, rel=1e-12)


def test_each_bound_of_many_is_that_of_its_own_counts_also_where_nothing_is_bounded():
    counts, nums = np.array([0, 12, 3, 990, 1000]), np.array([5, 12, 1000, 1000, 1000])
    bounds = mixture_lower(counts, nums, 0.001)
    assert bounds[0] == 0.0 and bounds[1] == pytest.approx(0.5117138101250227, rel=1e-12)
    assert 0 <= bounds[2] < 1e-100 and 0.96 < bounds[3] < 0.98 < bounds[4] < 1
