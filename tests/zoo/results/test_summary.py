"""The numbers of a log, against ones computed by hand and published ones."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from scipy import stats

from tests.zoo.results.test_log import ANYTIME, AT_HALF
from tests.zoo.results.test_log import row as certified_row
from zoo.errors import LogError
from zoo.results.figure import certified_accuracy_figure, draw_curves, draw_log
from zoo.results.log import CertificationRow, read_log
from zoo.results.summary import (
    NUM_RESAMPLES,
    RESAMPLING_SEED,
    binomial_interval,
    interval_of_bounded_mean,
    summarize,
)


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


def test_the_bootstrap_interval_is_that_of_scipy():
    values = np.random.default_rng(1).gamma(1.0, 0.5, 60)
    named = {"n_resamples": NUM_RESAMPLES, "method": "percentile", "rng": np.random.default_rng(RESAMPLING_SEED)}
    expected = stats.bootstrap((values,), np.mean, **named).confidence_interval
    assert interval_of_bounded_mean(values, ceiling=9.0) == pytest.approx((expected.low, expected.high), rel=1e-12)


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
    assert (summary.sigma, summary.n0, summary.n, summary.alpha, summary.stopping, summary.mean_n) == (None,) * 6
    assert summary.conditions == "4 images, sigma, n and alpha not in the log"


def with_n(row, n):
    return replace(row, provenance=replace(row.provenance, n=n, count_a=n))


def test_draws_that_differ_between_rows_are_averaged():
    rows = [with_n(certified_row(1000, idx=idx, rule=ANYTIME), n) for idx, n in enumerate((100, 150, 1000))]
    summary = summarize(rows, radii=[0.5])
    assert (summary.n, summary.mean_n, summary.stopping) == (None, pytest.approx(1250 / 3), "anytime")
    assert summary.conditions == "3 images, sigma 0.5, n0 100, mean n 416.7, alpha 0.001, rule anytime"
    same = summarize([certified_row(1000)], radii=[])
    assert (same.n, same.mean_n) == (1000, 1000.0)
    assert same.conditions == "1 images, sigma 0.5, n0 100, n 1,000, alpha 0.001"


def test_another_precision_than_float32_is_named_and_a_missing_one_is_not_guessed():
    row = certified_row(1000)
    rounded = replace(row, provenance=replace(row.provenance, backend="onnxruntime-cpu-int8"))
    assert summarize([rounded], radii=[]).conditions.endswith("alpha 0.001, precision int8")
    assert summarize([rounded, replace(row, idx=1)], radii=[]).precision is None
    assert summarize([replace(row, provenance=None)], radii=[]).precision is None


# Right and certified; wrong and certified; abstained.
DECIDED = [
    certified_row(1000, idx=0, rule=AT_HALF),
    certified_row(1000, idx=1, label=5, rule=AT_HALF),
    certified_row(500, idx=2, rule=AT_HALF),
]


def test_rows_that_decide_one_radius_tell_certified_accuracy_there_and_nothing_else():
    summary = summarize(DECIDED, radii=[0.0, 0.25, 0.5, 1.0])
    (point,) = summary.certified_accuracy
    assert (point.radius, point.accuracy) == (0.5, pytest.approx(1 / 3))
    assert summary.abstention_rate == pytest.approx(1 / 3)
    assert (summary.stopping, summary.radius_asked) == ("at-radius", 0.5)
    assert summary.standard_accuracy is summary.standard_accuracy_interval is None
    assert summary.average_certified_radius is summary.average_certified_radius_interval is None


@pytest.mark.parametrize("other", [certified_row(1000, idx=9), row(9, 1, 1, 0.5)])
def test_rows_that_decide_one_radius_have_no_number_in_common_with_others(other):
    with pytest.raises(LogError, match=r"mixes rows of the rules at-radius 0.5 and (fixed|unknown)"):
        summarize([*DECIDED, other], radii=[0.5])


def test_an_empty_log_has_no_numbers():
    with pytest.raises(LogError, match="no row"):
        summarize([], radii=[0.0])


def test_a_figure_is_drawn_and_an_impossible_file_is_refused(tmp_path):
    draw_curves({"ours": ROWS}, tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes()[:4] == b"\x89PNG"
    with pytest.raises(LogError, match="cannot be written"):
        draw_curves({"ours": ROWS}, tmp_path / "none" / "curve.png")


def test_a_log_of_one_radius_is_drawn_as_a_point_with_its_interval():
    axes = Figure().subplots()
    draw_log(axes, "decided", DECIDED, end=1.0)
    (drawn,) = axes.containers
    assert drawn.lines[0].get_xydata().tolist() == [[0.5, pytest.approx(100 / 3)]]
    (segment,) = drawn.lines[2][0].get_segments()
    low, high = binomial_interval(1, 3)
    assert segment[:, 1].tolist() == pytest.approx([100 * low, 100 * high])
    assert "ACR" not in drawn.get_label() and "rule at-radius" in drawn.get_label()


def test_other_logs_are_drawn_as_steps_at_their_radii_with_their_band():
    axes = Figure().subplots()
    draw_log(axes, "ours", ROWS, end=2.0)
    (curve,) = axes.lines
    assert curve.get_drawstyle() == "steps-pre" and "ACR 0.375" in curve.get_label()
    assert curve.get_xydata().tolist() == [[0.0, 50.0], [0.5, 50.0], [1.0, 25.0], [2.0, 0.0]]
    assert len(axes.collections) == 1


def test_a_single_log_has_a_panel_of_its_classes(tmp_path):
    _, panel = certified_accuracy_figure({"ours": ROWS}, class_names=("zero", "one")).axes
    labels = ["one (1)", "2 (1)", "3 (1)", "5 (1)", "mean of 4 classes (4)"]
    assert [label.get_text() for label in panel.get_yticklabels()] == labels
    assert [bar.get_width() for bar in panel.containers[0]] == [100.0, 100.0, 0.0, 0.0, 50.0]
    assert panel.get_xlim() == (0, 100)
    assert len(certified_accuracy_figure({"ours": ROWS, "decided": DECIDED}, class_names=()).axes) == 1


def test_the_panel_of_classes_shows_the_majority_baseline_and_cuts_long_names():
    rows = [row(0, 1, 1, 0.5), row(1, 1, 1, 1.0), row(2, 1, 0, 0.5), row(3, 0, 0, 0.5)]
    _, panel = certified_accuracy_figure({"ours": rows}, class_names=("$5 or $10", "a" * 30)).axes
    labels = [label.get_text() for label in panel.get_yticklabels()]
    assert labels == ["$5 or $10 (1)", f"{'a' * 23}… (3)", "mean of 2 classes (4)"]
    baseline = next(line for line in panel.lines if line.get_linestyle() == "--")
    assert list(baseline.get_xdata()) == [75.0, 75.0]
    assert [text.get_text() for text in panel.texts] == [f"always {'a' * 23}…: 75.0 %"]
    assert [bar.get_width() for bar in panel.containers[0]] == [100.0, pytest.approx(200 / 3), pytest.approx(250 / 3)]


def test_the_published_log_gives_the_published_numbers():
    """ImageNet, consistency regularization, sigma 0.5, 500 images (Jeong and Shin 2020): the numbers of their table."""
    rows = read_log(Path(__file__).parents[2] / "data" / "consistency_imagenet_sigma0.50.tsv")
    summary = summarize(rows, radii=[0.0, 0.5, 1.0, 1.5])
    assert round(summary.average_certified_radius, 3) == 0.822
    assert [round(100 * point.accuracy, 1) for point in summary.certified_accuracy] == [55.0, 50.2, 44.0, 34.8]
    assert (summary.num_images, summary.sigma, summary.n, summary.alpha) == (500, None, None, None)
