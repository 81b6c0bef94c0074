"""From a trained network to a report: every radius follows from the counts beside it."""

import json

import pytest

from zoo.results.log import ABSTAIN, read_log
from zoo.smoothing.bounds import clopper_pearson_lower
from zoo.smoothing.radius import certified_radius

N, ALPHA, SIGMA = 500, 0.001, 0.5


def radius_from_counts(row):
    """By the theorem from what was counted, not from the row's bound or radius."""
    p_a_lower = clopper_pearson_lower(row.provenance.count_a, N, ALPHA)
    return certified_radius(p_a_lower, SIGMA) if p_a_lower > 0.5 else 0.0


@pytest.fixture(scope="module")
def log(digits_checkpoint, tmp_path_factory):
    return tmp_path_factory.mktemp("report") / "log.tsv"


def test_acr_of_the_report_is_that_of_the_radii_and_that_of_the_counts(zoo_command, digits_checkpoint, log):
    """The consistency objective, the engine, the log and the report agree end to end."""
    words = ["certify", digits_checkpoint.path, "--task", "digits", "--skip", 10, "--n", N, "--output", log, "--json"]
    words += ["--bound", "clopper-pearson"]
    (told,) = json.loads(zoo_command(*words).out)
    (reported,) = json.loads(zoo_command("report", log, "--json").out)
    rows = read_log(log)
    from_radii = sum(row.radius for row in rows if row.correct) / len(rows)
    from_counts = sum(radius_from_counts(row) for row in rows if row.correct) / len(rows)
    assert len(rows) == 36 and 0.3 < from_counts < 1.12
    for acr in (told["average_certified_radius"], reported["average_certified_radius"], from_radii):
        assert acr == pytest.approx(from_counts, abs=1e-15)
    assert all(row.radius == radius_from_counts(row) for row in rows)
    # Control: of counts that are one lower, the numbers would differ.
    assert any(row.predict != ABSTAIN and 0 < row.provenance.count_a < N for row in rows)

    p_a = reported["p_a"]
    assert sum(bin["num_images"] for bin in p_a["lower"]["histogram"]) == 36
    assert sum(bin["num_correct"] for bin in p_a["lower"]["histogram"]) == sum(row.correct for row in rows)
    assert all(low < high for low, high in zip(p_a["lower"]["deciles"], p_a["estimate"]["deciles"], strict=True))
    assert reported["average_certified_radius_interval_method"] == "bootstrap"

    assert reported["bound"] == "clopper-pearson" and reported["image_spacing"] == 10
    assert reported["p_a_of_label_missing"] is None
    shares = {point["p_a"]: point["share"] for point in reported["p_a_of_label"]["points"]}
    assert shares[0.9] == sum(row.provenance.count_label <= 0.9 * N for row in rows) / 36 > 0

    text = zoo_command("report", log, "--figure", log.with_suffix(".png")).out
    assert "arXiv 2410.06895" in text and "evenly spaced, 10 apart" in text and "p_A of true class <= 0.9" in text
    assert "p_A of selected class" in text and f"median {p_a['lower']['deciles'][4]:.4f}" in text
    assert log.with_suffix(".png").exists()


def test_a_published_log_tells_no_p_a_and_its_radii_no_interval_where_they_are_equal(zoo_command, tmp_path):
    log = tmp_path / "published.tsv"
    log.write_text("idx\tlabel\tpredict\tradius\tcorrect\ttime\n0\t1\t1\t0.7\t1\t0:01\n1\t2\t2\t0.7\t1\t0:01\n")
    (told,) = json.loads(zoo_command("report", log, "--json").out)
    assert told["p_a"] is told["average_certified_radius_interval"] is None
    assert told["bound"] is told["p_a_of_label"] is None and "count_label" in told["p_a_of_label_missing"]
    text = zoo_command("report", log).out
    assert "p_A of true class" in text and "not known" in text and "count_label" in text and "unknown" in text
