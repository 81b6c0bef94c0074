"""The numbers of a log, against ones computed by hand and published ones."""

import numpy as np
import pytest

from zoo.errors import LogError
from zoo.results.figure import draw_curves
from zoo.results.log import CertificationRow
from zoo.results.summary import binomial_interval, summarize


def row(idx, label, predict, radius):
    return CertificationRow(idx=idx, label=label, predict=predict, radius=radius, correct=label == predict, time="0")


# Two right (radii 1.0 and 0.5), one wrong with a large radius, one abstention.
ROWS = [row(0, 1, 1, 1.0), row(1, 2, 2, 0.5), row(2, 3, 4, 9.0), row(3, 5, -1, 0.0)]


def test_errors_and_abstentions_count_as_zero_everywhere():
    summary = summarize(ROWS, radii=[0.0, 0.5, 0.50001, 1.0, 2.0])
    assert summary.standard_accuracy == 0.5
    assert [point.accuracy for point in summary.certified_accuracy] == [0.5, 0.5, 0.25, 0.25, 0.0]
    assert summary.average_certified_radius == pytest.approx(1.5 / 4)
    assert summary.abstention_rate == 0.25


def test_intervals_contain_their_value_and_shrink_with_more_images():
    few, many = summarize(ROWS, radii=[0.5]), summarize([row(i, 1, 1 + (i % 2), 1.0) for i in range(400)], radii=[0.5])
    for summary in (few, many):
        (point,) = summary.certified_accuracy
        assert point.low <= point.accuracy <= point.high
        low, high = summary.average_certified_radius_interval
        assert low <= summary.average_certified_radius <= high
    assert many.certified_accuracy[0].high - many.certified_accuracy[0].low < 0.2 < few.certified_accuracy[0].high - 0.1


def test_the_bootstrap_interval_covers_a_known_mean_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(100):
        radii = rng.exponential(1.0, 80)
        low, high = summarize(
            [row(i, 1, 1, r) for i, r in enumerate(radii)], radii=[]
        ).average_certified_radius_interval
        hits += low <= 1.0 <= high
    assert 85 <= hits <= 100


def test_the_binomial_interval_is_that_of_clopper_and_pearson():
    assert binomial_interval(0, 100) == pytest.approx((0.0, 0.0362167), abs=1e-6)  # 1 - 0.025 ** (1 / 100)


def test_what_a_published_log_does_not_say_is_none():
    summary = summarize(ROWS, radii=[])
    assert (summary.sigma, summary.n0, summary.n, summary.alpha) == (None,) * 4


def test_an_empty_log_has_no_numbers():
    with pytest.raises(LogError, match="no row"):
        summarize([], radii=[0.0])


def test_a_figure_is_drawn_and_an_impossible_file_is_refused(tmp_path):
    draw_curves({"ours": ROWS}, tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes()[:4] == b"\x89PNG"
    with pytest.raises(LogError, match="cannot be written"):
        draw_curves({"ours": ROWS}, tmp_path / "none" / "curve.png")
