"""The interval for logs whose radii are all equal, against exact coverage."""

import math

import numpy as np
import pytest
from scipy.special import ndtri
from scipy.stats import binom

from tests.zoo.results.test_log import ALPHA, ANYTIME, SIGMA, N
from tests.zoo.results.test_log import row as certified_row
from tests.zoo.results.test_summary import row
from zoo.results.bounded_mean import chernoff_hoeffding_interval, radius_ceiling
from zoo.results.summary import binomial_interval, summarize

NUM_IMAGES = 50
CEILING = SIGMA * float(ndtri(ALPHA ** (1 / N)))


def interval_of(count, confidence=0.95):
    """Of `count` radii at a ceiling of 2 and zeros else."""
    values = np.array([2.0] * count + [0.0] * (NUM_IMAGES - count))
    return chernoff_hoeffding_interval(values, ceiling=2.0, confidence=confidence)


def least_coverage(interval):
    """Over means of numbers that are 0 or 2: the least chance that the interval holds the mean. Exact sums."""
    intervals = [interval(count) for count in range(NUM_IMAGES + 1)]

    def coverage(p):
        holds = [low <= 2 * p <= high for low, high in intervals]
        return binom.pmf(np.arange(NUM_IMAGES + 1), NUM_IMAGES, p)[holds].sum()

    return min(coverage(p) for p in np.linspace(0.001, 0.999, 333))


def test_coverage_is_never_below_the_confidence_and_that_of_half_the_deviation_is():
    assert least_coverage(interval_of) >= 0.95
    assert least_coverage(lambda count: interval_of(count, confidence=1 - 2 * math.sqrt(0.025))) < 0.95


def test_at_the_ceiling_the_lower_end_is_the_exact_one_of_clopper_and_pearson():
    low, high = interval_of(NUM_IMAGES)
    assert (low, high) == (pytest.approx(2 * binomial_interval(NUM_IMAGES, NUM_IMAGES)[0]), 2.0)
    assert interval_of(0) == (0.0, pytest.approx(2 - low))


def test_the_ceiling_is_the_radius_of_draws_that_all_agree_and_unknown_for_a_published_log():
    assert radius_ceiling([certified_row(700)]) == pytest.approx(CEILING)
    assert radius_ceiling([row(0, 1, 1, 0.5)]) is None
    # A rule whose n is found while drawing: whatever float64 can hold, 8.2 sigma.
    assert radius_ceiling([certified_row(700, rule=ANYTIME)]) == pytest.approx(SIGMA * 8.2095, abs=1e-3)


def test_the_report_of_nearly_perfect_networks_covers_the_mean_where_a_width_of_zero_would_not():
    rng = np.random.default_rng(0)
    right, wrong = certified_row(1000), certified_row(1000, label=5)
    mean, hits, hits_of_no_width = 0.99 * CEILING, 0, 0
    for _ in range(150):
        log = [right if is_right else wrong for is_right in rng.random(NUM_IMAGES) < 0.99]
        summary = summarize(log, radii=[])
        low, high = summary.average_certified_radius_interval
        has_width = summary.average_certified_radius_interval_method == "bootstrap"
        hits += low <= mean <= high
        hits_of_no_width += has_width and low <= mean <= high
    assert hits >= 0.95 * 150 and hits_of_no_width < 0.6 * 150


def test_radii_that_are_equal_have_an_interval_of_positive_width_and_the_method_is_said():
    equal = summarize([certified_row(950, idx=idx) for idx in range(20)], radii=[])
    low, high = equal.average_certified_radius_interval
    assert low < equal.average_certified_radius < high <= CEILING
    assert equal.average_certified_radius_interval_method == "chernoff-hoeffding"
    other = summarize([certified_row(950), certified_row(700, idx=1)], radii=[])
    assert other.average_certified_radius_interval_method == "bootstrap"


def test_equal_radii_of_a_log_without_sigma_and_n_have_no_interval_rather_than_one_of_no_width():
    summary = summarize([row(idx, 1, 1, 0.5) for idx in range(20)], radii=[])
    assert summary.average_certified_radius == 0.5
    assert summary.average_certified_radius_interval is summary.average_certified_radius_interval_method is None
