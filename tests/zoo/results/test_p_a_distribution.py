"""The distribution of p_A over images, counted by hand."""

from dataclasses import replace

import pytest
from matplotlib.figure import Figure

from tests.zoo.results.test_log import ALPHA, AT_HALF, N
from tests.zoo.results.test_log import row as certified_row
from tests.zoo.results.test_summary import row
from zoo.results.figure import draw_curves, draw_p_a
from zoo.results.p_a_distribution import EDGES, p_a_distribution, p_a_lower_bounds
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


def test_the_second_panel_shows_the_share_above_each_value_in_the_color_of_its_log(tmp_path):
    axes = Figure().subplots()
    draw_p_a(axes, [None, p_a_lower_bounds(ROWS)])
    curve, _ = axes.lines
    assert curve.get_color() == "C1"
    assert curve.get_ydata().tolist() == [100, 90, 80, 70, 60, 50, 40, 30, 20, 0, 0, 0]
    draw_curves({"published": [row(0, 1, 1, 0.5)], "ours": ROWS}, tmp_path / "two.png")
    assert (tmp_path / "two.png").read_bytes()[:4] == b"\x89PNG"
