"""The distribution of p_A over images, counted by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure

from tests.zoo.results.test_log import ADDED, ALPHA, ANYTIME, AT_HALF, N, log_of, without
from tests.zoo.results.test_log import row as certified_row
from tests.zoo.results.test_summary import row
from zoo.results.figure import certified_accuracy_figure, draw_p_a
from zoo.results.log import parse_log
from zoo.results.p_a_distribution import (
    EDGES,
    POINTS,
    dkw_half_width,
    label_distribution,
    p_a_distribution,
    p_a_lower_bounds,
    p_a_of_label,
    why_no_p_a_of_label,
)
from zoo.results.summary import image_spacing
from zoo.smoothing.bounds import clopper_pearson_lower

# Ten images: three abstentions, then better and better; the last is certified for a wrong class.
COUNTS = [100, 400, 500, 700, 800, 900, 950, 980, 1000, 1000]
ROWS = [certified_row(count, idx=idx, label=5 if idx == 9 else 4) for idx, count in enumerate(COUNTS)]


def test_deciles_are_values_that_occur_in_order():
    told = p_a_distribution(ROWS)
    assert told.estimate.deciles == tuple(count / N for count in COUNTS[:9])
    assert told.lower.deciles == pytest.approx([clopper_pearson_lower(count, N, ALPHA) for count in COUNTS[:9]])


def test_the_histogram_counts_every_image_once_and_tells_the_right_ones_apart():
    told = p_a_distribution(ROWS)
    counted = {bin.low: (bin.num_images, bin.num_correct) for bin in told.estimate.histogram}
    # 0.9 and 0.95 begin a bin, 1 ends the last one.
    in_bins = [(2, 0), (1, 0), (0, 0), (1, 1), (1, 1), (1, 1), (2, 2), (0, 0), (2, 1)]
    assert counted == dict(zip(EDGES, in_bins, strict=False))
    assert [bin.low for bin in told.lower.histogram] + [1.0] == list(EDGES)
    assert sum(bin.num_images for bin in told.lower.histogram) == 10


def test_the_lower_bound_is_below_the_estimate():
    told = p_a_distribution(ROWS)
    assert all(low < middle for low, middle in zip(told.lower.deciles, told.estimate.deciles, strict=True))


@pytest.mark.parametrize(
    "rows",
    [
        [row(0, 1, 1, 0.5)],
        [ROWS[0], row(11, 1, 1, 0.5)],
        [certified_row(1000, rule=AT_HALF)],
        [replace(ROWS[0], radius=0.0, provenance=replace(ROWS[0].provenance, sigma=0.0))],
    ],
    ids=["published", "partly published", "at one radius", "sigma 0"],
)
def test_rows_that_do_not_tell_p_a_have_no_distribution_of_it(rows):
    assert p_a_distribution(rows) is None and p_a_lower_bounds(rows) is None


def test_the_second_panel_shows_the_share_above_each_value_in_the_color_of_its_log():
    axes = Figure().subplots()
    draw_p_a(axes, [None, p_a_lower_bounds(ROWS)])
    curve, _ = axes.lines
    assert curve.get_color() == "C1"
    assert curve.get_ydata().tolist() == [100, 90, 80, 70, 60, 50, 40, 30, 20, 0, 0, 0]
    assert len(certified_accuracy_figure({"published": [row(0, 1, 1, 0.5)], "ours": ROWS}).axes) == 2


def test_the_distribution_of_the_true_class_counts_every_image_also_the_one_with_a_wrong_class():
    distribution = label_distribution(ROWS)
    shares = {point.p_a: point.share for point in distribution.points}
    # The wrong image has no vote for its true class, one has 100 of 1,000, and so on.
    assert shares == {0.1: 0.2, 0.25: 0.2, 0.5: 0.4, 0.75: 0.5, 0.9: 0.7, 0.95: 0.8, 0.99: 0.9, 0.999: 0.9}
    assert tuple(shares) == POINTS and distribution.confidence == 0.95
    assert distribution.half_width == pytest.approx(math.sqrt(math.log(40) / 20), rel=1e-12)
    first, *_, last = distribution.points
    assert (first.low, last.high) == (0.0, 1.0)
    assert last.low == pytest.approx(0.9 - distribution.half_width)


def test_the_band_covers_the_whole_distribution_function_and_a_narrower_one_does_not():
    """The greatest distance of 400 uniform samples of 60 values from the true distribution function."""
    values = np.sort(np.random.default_rng(0).random((400, 60)), axis=1)
    steps = np.arange(61) / 60
    distance = np.maximum(np.abs(values - steps[1:]), np.abs(values - steps[:-1])).max(axis=1)
    half_width = dkw_half_width(60)
    assert (distance > half_width).mean() <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 400)
    assert (distance > 0.8 * half_width).mean() > 0.1


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([row(0, 1, 1, 0.5)], "does not record count_label"),
        (parse_log(without(log_of(*ROWS), *ADDED), source="old"), "does not record count_label"),
        ([*ROWS, *parse_log(without(log_of(certified_row(900, idx=10)), *ADDED), source="old")], "count_label"),
        ([certified_row(1000, rule=AT_HALF)], "the rule at-radius stops depending on the votes"),
        ([certified_row(1000, rule=ANYTIME)], "the rule anytime stops depending on the votes"),
        ([replace(ROWS[0], radius=0.0, provenance=replace(ROWS[0].provenance, sigma=0.0))], "no noise at sigma 0"),
    ],
    ids=["published", "old", "resumed from an old one", "at one radius", "anytime", "sigma 0"],
)
def test_a_log_that_does_not_determine_p_a_of_the_true_class_says_why(rows, reason):
    assert label_distribution(rows) is p_a_of_label(rows) is None and reason in why_no_p_a_of_label(rows)


def test_evenly_spaced_images_are_told_apart_from_all_and_from_random_ones():
    def spaced(*numbers):
        return image_spacing([row(number, 1, 1, 0.5) for number in numbers])

    assert (spaced(0, 20, 40), spaced(40, 0, 20), spaced(0, 1, 2), spaced(0, 7, 9), spaced(5)) == (20, 20, *[None] * 3)


def test_the_figure_shows_the_distribution_with_its_band_and_that_of_old_logs_as_before():
    old = parse_log(without(log_of(*ROWS), *ADDED), source="old")
    spaced = [replace(row, idx=3 * row.idx) for row in ROWS]
    _, panel = certified_accuracy_figure({"old": old, "new": spaced}).axes
    curve, _ = panel.lines
    assert curve.get_color() == "C1"
    assert curve.get_ydata().tolist() == [10, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 100]
    assert len(panel.collections) == 1 and "count_label" in panel.get_xlabel()
    assert "are left out" in panel.texts[0].get_text() and "not a random sample" in panel.texts[0].get_text()
    _, panel = certified_accuracy_figure({"old": old}).axes
    assert panel.get_xlabel() == "x = lower bound of p_A" and not panel.collections
