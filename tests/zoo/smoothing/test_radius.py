"""Radii are those of the theorem, never rounded up, and refuse what gives none."""

import math

import mpmath
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoo.errors import CertificationError
from zoo.smoothing.radius import certified_radius, probability_at


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
