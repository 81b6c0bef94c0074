"""Thresholds of label sets: the level, its rounding, and the bound attained by the worst change of a linear score."""

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtr, ndtri

from zoo.errors import CertificationError
from zoo.smoothing.conformal import alpha_before_change, calibrated_threshold, num_images_needed

SIGMA, ALPHA = 0.5, 0.1


@pytest.mark.parametrize(("radius", "level"), [(0.0, 0.9), (0.25, 0.9626), (0.5, 0.9887), (1.0, 0.9995)])
def test_the_level_is_that_of_the_page(radius, level):
    assert round(1 - alpha_before_change(ALPHA, radius=radius, sigma=SIGMA), 4) == level


@settings(max_examples=30)
@given(st.floats(1e-6, 0.999), st.floats(1e-3, 2), st.floats(0.12, 1))
def test_the_level_is_rounded_up_and_by_little(alpha, radius, sigma):
    with mpmath.workdps(50):
        quantile = mpmath.findroot(lambda z: mpmath.ncdf(z) - mpmath.mpf(alpha), float(ndtri(alpha)))
        exact = mpmath.ncdf(quantile - mpmath.mpf(radius) / mpmath.mpf(sigma))
        found = mpmath.mpf(alpha_before_change(alpha, radius=radius, sigma=sigma))
        assert exact * (1 - mpmath.mpf(2) ** -30) <= found <= exact


@pytest.mark.parametrize(("alpha", "shift"), [(0.1, 0.5), (0.1, 30.0), (1e-100, 0.01)])
def test_the_level_is_rounded_by_both_errors_that_are_allowed_for(alpha, shift):
    """A share 2^-36 of the probability, and 2^-48 of the terms of its quantile, which count by the hazard rate."""
    with mpmath.workdps(50):
        terms = abs(ndtri(alpha)) + shift
        quantile = mpmath.findroot(lambda z: mpmath.ncdf(z) - mpmath.mpf(alpha), float(ndtri(alpha))) - shift
        exact = mpmath.ncdf(quantile)
        rounding = (exact - mpmath.mpf(alpha_before_change(alpha, radius=shift / 2, sigma=0.5))) / exact
        allowed = 2.0**-36 + 2.0**-48 * terms * float(mpmath.npdf(quantile) / exact)
    assert float(rounding) == pytest.approx(allowed, rel=0.05)


def test_no_change_costs_nothing_and_no_level_needs_no_images():
    assert alpha_before_change(0.1, radius=0.0, sigma=0.5) == 0.1
    assert [num_images_needed(alpha) for alpha in (0.5, 0.25, 0.3, 2.0**-10, 0.0)] == [1, 3, 3, 1023, None]
    with pytest.raises(CertificationError, match="a label set needs noise"):
        alpha_before_change(0.1, radius=0.25, sigma=0.0)


def test_as_many_images_as_the_message_names_are_enough_and_one_fewer_is_not():
    needed = num_images_needed(alpha_before_change(ALPHA, radius=1.0, sigma=SIGMA))
    scores = [float(score) for score in range(needed)]
    assert calibrated_threshold(scores, alpha=ALPHA, radius=1.0, sigma=SIGMA) == needed - 1, "the largest score"
    with pytest.raises(CertificationError, match=f"at least {needed:,} images are needed"):
        calibrated_threshold(scores[1:], alpha=ALPHA, radius=1.0, sigma=SIGMA)
    with pytest.raises(CertificationError, match="no calibration set is large enough"):
        calibrated_threshold(scores, alpha=ALPHA, radius=30.0, sigma=SIGMA)


def test_the_rank_counts_the_new_image_and_equal_scores_each_have_a_rank():
    # ceil((19 + 1) (1 - 0.1)) = 18, one above the 0.9-quantile of the scores alone.
    assert calibrated_threshold(list(range(1, 20)), alpha=ALPHA, radius=0.0, sigma=SIGMA) == 18
    assert calibrated_threshold(list(range(1, 19)), alpha=ALPHA, radius=0.0, sigma=SIGMA) == 18  # ceil(17.1)
    assert calibrated_threshold([1.0] * 17 + [2.0, 3.0], alpha=ALPHA, radius=0.0, sigma=SIGMA) == 2.0
    with pytest.raises(CertificationError, match="must be finite"):
        calibrated_threshold([1.0, float("nan")] * 10, alpha=ALPHA, radius=0.0, sigma=SIGMA)


def attacked_coverage(*, corrected_for, radius=0.25, num_images=300, runs=400, spread=0.0):
    """Mean coverage of a linear score under the worst change, over simulated images and calibrations.

    The score of the true class is the noisy copy's distance from a plane; the change moves the image along its normal.
    """
    rng = np.random.default_rng(0)
    coverage = []
    for _ in range(runs):
        hardness = spread * rng.standard_normal(num_images + 1)
        scores = hardness[1:] + SIGMA * rng.standard_normal(num_images)
        threshold = calibrated_threshold(scores.tolist(), alpha=ALPHA, radius=corrected_for, sigma=SIGMA)
        coverage.append(ndtr((threshold - hardness[0] - radius) / SIGMA))
    return np.mean(coverage), 3 * np.std(coverage) / np.sqrt(runs)


def test_a_linear_score_attains_the_bound_and_without_the_correction_falls_below_it():
    mean, error = attacked_coverage(corrected_for=0.25)
    assert 1 - ALPHA - error <= mean <= 1 - ALPHA + 0.01, "equal images: Jensen's inequality is an equality"
    uncorrected, error = attacked_coverage(corrected_for=0.0)
    assert uncorrected < 1 - ALPHA - 0.1 - error, "the control: Phi(Phi^-1(0.9) - 0.5) = 0.78"


def test_images_of_different_hardness_keep_the_bound():
    mean, error = attacked_coverage(corrected_for=0.25, spread=1.0)
    assert mean >= 1 - ALPHA - error
