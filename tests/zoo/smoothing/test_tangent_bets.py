"""Bets on tangents keep their level under every null hypothesis, and the tests notice bets that do not."""

from functools import lru_cache

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.special import ndtr, ndtri

from benchmarks.false_certificates import (
    Boundary,
    best_bet,
    greatest_wealth,
    inner_tangents,
    most_allowed,
    num_false,
)
from zoo.errors import CertificationError
from zoo.smoothing.tangent_bets import LARGEST_GAP, _tangents, bets_on, gap_of, log_wealth

GAPS = (0.0, 0.02, 0.5, 1.0, 2.0, 3.2, 7.0)


def wealth(a, b, n, gap):
    return log_wealth(np.array([a]), np.array([b]), np.array([n]), gap=gap)[0]


@given(st.sampled_from(GAPS), st.floats(0.001, 1.0), st.integers(0, 200))
def test_the_mean_payoff_of_every_bet_is_at_most_zero_on_the_boundary(gap, share, index):
    """In exact arithmetic, at a null point whose p_A is g(p_b)."""
    bets = bets_on(gap)
    index %= len(bets.log_a)
    with mpmath.workdps(40):
        quantile = -mpmath.sqrt(2) * mpmath.erfinv(1 - 2 * share * mpmath.ncdf(-mpmath.mpf(gap) / 2))
        p_b, p_a = mpmath.ncdf(quantile), mpmath.ncdf(quantile + gap)
        gain_a, gain_b, gain_rest = (
            mpmath.expm1(mpmath.mpf(float(log[index]))) for log in (bets.log_a, bets.log_b, bets.log_rest)
        )
        assert p_a * gain_a + p_b * gain_b + (1 - p_a - p_b) * gain_rest <= 1e-15


@pytest.mark.parametrize("gap", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("share", [1.0, 0.6, 0.1])
def test_the_mean_wealth_after_a_few_draws_is_at_most_one_and_not_far_below(gap, share):
    """Summed over all outcomes of 20 draws on the boundary of the null hypothesis."""
    p_b = share * ndtr(-gap / 2)
    p = [ndtr(ndtri(p_b) + gap), p_b, 0.0]
    p[2] = max(0.0, 1 - p[0] - p[1])
    outcomes = np.array([(a, b, 20 - a - b) for a in range(21) for b in range(21 - a)])
    wealths = np.exp(log_wealth(outcomes[:, 0], outcomes[:, 1], np.full(len(outcomes), 20), gap=gap))
    mean = float((stats.multinomial.pmf(outcomes, 20, p) * wealths).sum())
    assert 0.6 < mean <= 1.0


@pytest.mark.parametrize("gap", GAPS)
def test_the_weights_of_the_bets_add_up_to_one_and_no_bet_can_lose_everything(gap):
    bets = bets_on(gap)
    assert float(np.exp(bets.log_weight).sum()) == pytest.approx(1, abs=1e-12)
    assert np.isfinite(bets.log_b).all() and (bets.log_b <= bets.log_rest).all() and (bets.log_rest <= 0).all()


@given(st.integers(0, 300), st.integers(0, 300), st.integers(0, 300), st.sampled_from(GAPS))
def test_the_wealth_increases_with_the_votes_for_the_class_and_decreases_with_those_for_the_runner_up(a, b, rest, gap):
    n = a + b + rest + 1
    assert wealth(a + 1, b, n, gap) >= wealth(a, b, n, gap) >= wealth(a, b + 1, n, gap)


@given(st.integers(0, 2**32 - 1), st.integers(1, 700))
def test_the_wealth_at_a_look_does_not_depend_on_the_other_looks(seed, size):
    rng = np.random.default_rng(seed)
    nums = rng.integers(1, 100_000, size)
    a = rng.binomial(nums, 0.6)
    b = rng.binomial(nums - a, 0.5)
    together = log_wealth(a, b, nums, gap=1.0)
    at = rng.integers(size)
    assert together[at] == wealth(a[at], b[at], nums[at], 1.0)


@pytest.mark.parametrize("boundary", [Boundary(0.97, 0.03, 2), Boundary(0.6, 0.4, 2), Boundary(0.45, 0.35, 3)])
def test_a_radius_just_out_of_reach_is_certified_in_at_most_a_share_alpha_of_runs(boundary):
    """`benchmarks.false_certificates` does the same with more runs, draws and classes."""
    greatest = greatest_wealth(boundary, runs=2000, max_n=300)
    assert 0 < num_false(greatest, 0.05) <= most_allowed(2000, 0.05)


@pytest.mark.parametrize(
    ("boundary", "fault"),
    [
        (Boundary(0.6, 0.4, 2), {"wealth": best_bet}),
        (Boundary(0.6, 0.4, 2), {"wealth": inner_tangents}),
        (Boundary(0.5, 0.5, 2), {"selects_from_same_draws": True}),
    ],
)
def test_the_same_test_notices_a_broken_condition_of_the_proof(boundary, fault):
    assert num_false(greatest_wealth(boundary, runs=5000, max_n=300, **fault), 0.05) > most_allowed(5000, 0.05)


def test_the_gap_is_rounded_up_and_refused_at_sigma_zero():
    assert gap_of(0.1, 0.3) > 0.2 / 0.3 and gap_of(0.0, 0.5) == 0
    with pytest.raises(CertificationError, match="no radius can be certified at sigma 0"):
        gap_of(0.5, 0.0)
    assert np.isfinite(bets_on(LARGEST_GAP).log_a).all()


@lru_cache
def exact_bets(gap):
    """Weight and factors of the bets, as they are described: 11 stakes, at each 8 share^(-1/4) tangents.

    The intercepts are larger by 1e-12 of a tangent's terms.
    """
    gap, bets = mpmath.mpf(gap), []
    for power in range(-6, 5):
        odds = mpmath.exp(power)
        share = odds / (1 + odds)
        num = int(mpmath.ceil(8 * share ** mpmath.mpf(-0.25)))
        sizes = [mpmath.exp(mpmath.mpf(-4 * place) / num) for place in range(num)]
        for place, size in enumerate(sizes):
            z = -mpmath.sqrt(2) * mpmath.erfinv(1 - 2 * size * mpmath.ncdf(-gap / 2))
            slope = mpmath.npdf(z + gap) / mpmath.npdf(z)
            height, fall = mpmath.ncdf(z + gap), slope * mpmath.ncdf(z)
            intercept = height - fall + mpmath.mpf(1e-12) * (height + fall)
            stake = share / (slope + intercept)
            weight = (odds**0.5 if power < 0 else odds**-0.2) * (0.15 if place == 0 else 0.85 * size / sum(sizes[1:]))
            bets.append((weight, 1 + stake * (1 - intercept), 1 - stake * (slope + intercept), 1 - stake * intercept))
    return bets


@pytest.mark.parametrize(
    ("a", "b", "n", "gap"),
    [(0, 0, 1, 1.0), (1, 0, 1, 1.0), (3, 1, 5, 1.0), (120, 20, 200, 1.0), (60, 10, 100, 3.2),
     (90_000, 5_000, 100_000, 1.0)],
)  # fmt: skip
def test_the_wealth_is_that_of_the_bets_in_exact_arithmetic_and_never_more(a, b, n, gap):
    with mpmath.workdps(25):
        bets = exact_bets(gap)
        total = mpmath.fsum(weight * won**a * lost**b * other ** (n - a - b) for weight, won, lost, other in bets)
        exact = mpmath.log(total / mpmath.fsum(weight for weight, *_ in bets))
        slack = n * 1e-12 + 1e-9
        assert exact - 1.2 * slack < wealth(a, b, n, gap) < exact - 0.8 * slack


def test_intercepts_are_rounded_up_by_more_than_their_error():
    with mpmath.workdps(40):
        for gap in GAPS:
            for share in (1.0, 0.5, 0.05):
                q = np.array([share * ndtr(-gap / 2)])
                (slope,), (intercept,) = _tangents(gap, q)
                z = -mpmath.sqrt(2) * mpmath.erfinv(1 - 2 * mpmath.mpf(float(q[0])))
                line = mpmath.mpf(float(slope)) * mpmath.mpf(float(q[0])) + mpmath.mpf(float(intercept))
                terms = mpmath.ncdf(z + gap) + mpmath.mpf(float(slope)) * mpmath.mpf(float(q[0]))
                assert 9e-13 < (line - mpmath.ncdf(z + gap)) / terms < 1.1e-12
