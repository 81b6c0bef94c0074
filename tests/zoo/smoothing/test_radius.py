"""Radii are those of the theorem, never rounded up, and refuse what gives none."""

import math

import mpmath
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtr

from zoo.errors import CertificationError
from zoo.smoothing.radius import _down, _quantile_down, _quantile_down_of_complement, certified_radius, probability_at


def exact_quantile(p):
    """Phi^-1(p), to the digits of the context."""
    return mpmath.sqrt(2) * mpmath.erfinv(2 * mpmath.mpf(p) - 1)


@given(st.floats(1e-9, 0.9999999), st.floats(1e-9, 0.9999999), st.floats(0.01, 10))
def test_the_radius_between_two_bounds_is_never_above_the_exact_one(first, second, sigma):
    p_b_upper, p_a_lower = sorted((first, second))
    if p_b_upper == p_a_lower:
        return
    with mpmath.workdps(50):
        exact = mpmath.mpf(sigma) / 2 * (exact_quantile(p_a_lower) - exact_quantile(p_b_upper))
        radius = certified_radius(p_a_lower, sigma, p_b_upper=p_b_upper)
        assert 0 <= radius <= exact
        assert radius >= exact - sigma * mpmath.mpf(1e-13)


@given(st.floats(0.5000001, 0.9999999))
def test_a_runner_up_that_has_all_the_rest_gives_the_one_sided_radius(p_a_lower):
    radius = certified_radius(p_a_lower, 0.5, p_b_upper=1 - p_a_lower)
    assert radius == pytest.approx(certified_radius(p_a_lower, 0.5), rel=1e-9, abs=1e-12)


@given(st.floats(0, 3), st.floats(0.05, 2))
def test_the_probability_at_a_radius_proves_that_radius_and_hardly_more(radius, sigma):
    p = probability_at(radius, sigma)
    if p == 1.0:  # beyond what float64 can tell from certainty
        assert radius / sigma > 8
        return
    proved = certified_radius(p, sigma) if p > 0.5 else 0.0
    with mpmath.workdps(50):
        assert mpmath.mpf(p) >= mpmath.ncdf(mpmath.mpf(radius) / mpmath.mpf(sigma)) * (1 - mpmath.mpf(1e-16))
        assert mpmath.mpf(p) - mpmath.ncdf(mpmath.mpf(radius) / mpmath.mpf(sigma)) < mpmath.mpf(1e-13)
    assert proved >= radius


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: certified_radius(0.4, 0.5, p_b_upper=0.4), "0 < p_b_upper < p_a_lower < 1"),
        (lambda: certified_radius(0.4, 0.5, p_b_upper=0.0), "0 < p_b_upper"),
        (lambda: certified_radius(0.4, -0.5, p_b_upper=0.1), "sigma must be finite and at least 0, got -0.5"),
        (lambda: certified_radius(0.9, math.nan), "sigma must be finite"),
        (lambda: probability_at(-0.1, 0.5), "radius must be finite and at least 0, got -0.1"),
        (lambda: probability_at(math.inf, 0.5), "radius must be finite"),
        (lambda: probability_at(0.1, 0), "clean classifier"),
    ],
)
def test_what_gives_no_radius_is_refused(make, said):
    with pytest.raises(CertificationError, match=said):
        make()


@pytest.mark.parametrize(
    ("radius", "sigma", "p"),
    [(0.0, 0.5, 0.5), (0.5, 1.0, 0.6914624612740131), (0.5, 0.5, 0.8413447460685429), (4.05, 0.5, 1 - 2.0**-52)],
)
def test_the_probability_at_a_radius_is_this_number_up_to_its_last_digits(radius, sigma, p):
    assert p <= probability_at(radius, sigma) <= p * (1 + 1e-14) and probability_at(radius, sigma) < 1


def test_beyond_eight_sigma_only_certainty_is_enough():
    assert probability_at(4.5, 0.5) == probability_at(8.25, 1.0) == 1.0
    assert ndtr(8.25) < 1.0 and certified_radius(ndtr(8.25), 1.0) < 8.25  # the largest number below 1 is not enough


@pytest.mark.parametrize("p_b_upper", [0.1, 0.3, 0.5, 0.7])
def test_bounds_that_hardly_differ_give_radius_zero_or_hardly_more(p_b_upper):
    p_a_lower = math.nextafter(p_b_upper, 1)
    assert 0.0 <= certified_radius(p_a_lower, 1.0, p_b_upper=p_b_upper) < 1e-15
    with pytest.raises(CertificationError, match="must hold"):
        certified_radius(1.0, 0.5, p_b_upper=p_b_upper)


@pytest.mark.parametrize("p", [0.05, 0.2, 0.45, 0.55, 0.8, 0.95])
def test_quantiles_are_rounded_down_by_more_than_scipys_error_on_either_side_of_zero(p):
    with mpmath.workdps(40):
        exact = exact_quantile(p)
        for rounded, value in ((_quantile_down(p), exact), (_quantile_down_of_complement(p), -exact)):
            assert 2e-16 < (value - rounded) / abs(value) < 4e-15


def test_rounding_down_is_to_the_next_float_on_either_side_of_zero():
    assert _down(-0.25) == -0.25 - 2.0**-54 and _down(0.25) == 0.25 - 2.0**-55 and _down(0.0) == 0.0
    assert _down(5e-324) == 0.0
