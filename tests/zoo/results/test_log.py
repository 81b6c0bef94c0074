"""Certification logs: ours and the published ones, and nothing that cannot be."""

import pytest

from zoo.errors import LogError
from zoo.results.log import COLUMNS, HEADER, format_row, parse_log, read_log, row_of
from zoo.smoothing import SmoothingSpec
from zoo.smoothing.certificate import conclude

PUBLISHED = (
    "idx\tlabel\tpredict\tradius\tcorrect\ttime\n0\t65\t65\t0.3706\t1\t0:02:21.756621\n100\t3\t-1\t0.0\t0\t0:01:00\n"
)
SPEC = SmoothingSpec(sigma=0.5, n=1000)


def row(count_a, *, label=4, idx=3):
    certificate = conclude(4, count_a, 1000, SPEC)
    return row_of(certificate, idx=idx, label=label, seconds=1.5, backend="torch-cpu-float32", seed=7)


def test_the_published_columns_come_first_in_the_published_order():
    assert COLUMNS == (
        "idx", "label", "predict", "radius", "correct", "time", "count_a", "n", "n0", "alpha", "sigma", "p_a_lower",
        "stopping", "radius_asked", "noise", "backend", "seed",
    )  # fmt: skip


@pytest.mark.parametrize("count_a", [1000, 800, 500])
def test_a_row_is_read_back_to_the_last_digit(count_a):
    assert parse_log(f"{HEADER}\n{format_row(row(count_a))}\n", source="log") == [row(count_a)]


def test_an_abstention_is_minus_one_with_radius_zero():
    assert format_row(row(500)).split("\t")[:5] == ["3", "4", "-1", "0.0", "0"]


def test_a_published_log_is_read_without_provenance(tmp_path):
    (tmp_path / "log.tsv").write_text(PUBLISHED)
    first, second = read_log(tmp_path / "log.tsv")
    assert (first.radius, first.correct, second.predict, second.provenance) == (0.3706, True, -1, None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "does not begin with the columns"),
        ("a\tb\n1\t2\n", "does not begin with the columns"),
        (PUBLISHED + "1\t2\n", "line 4: expected 6 columns"),
        (PUBLISHED + "0\t65\t65\t0.1\t1\t0:00:01\n", "image 0 twice"),
        (PUBLISHED + "5\t1\t2\t0.1\t1\t0:00:01\n", "line 4: correct is 1"),
        (PUBLISHED + "5\t1\t-1\t0.1\t0\t0:00:01\n", "an abstention has radius"),
        (PUBLISHED + "5\t1\t1\tnan\t1\t0:00:01\n", "no certified radius"),
        (PUBLISHED + "5\t1\t1\t-1\t1\t0:00:01\n", "no certified radius"),
    ],
)
def test_a_log_that_is_malformed_or_claims_the_impossible_is_refused(text, said):
    with pytest.raises(LogError, match=said):
        parse_log(text, source="log")


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("radius", "50", "is above"),
        ("count_a", "2000", "count_a is 2000 of n 1000"),
        ("p_a_lower", "0.4", "is above 0.0"),
        ("n", "many", "invalid literal"),
    ],
)
def test_a_row_that_claims_more_than_its_own_bound_proves_is_refused(column, value, said):
    values = dict(zip(COLUMNS, format_row(row(900)).split("\t"), strict=True)) | {column: value}
    line = "\t".join(values[name] for name in COLUMNS)
    with pytest.raises(LogError, match=rf"line 2: .*{said}"):
        parse_log(f"{HEADER}\n{line}\n", source="log")


def test_a_log_with_half_of_our_columns_or_a_row_cut_off_is_refused():
    with pytest.raises(LogError, match=r"but not n$"):
        parse_log("\t".join(COLUMNS[:7]) + "\n", source="log")
    with pytest.raises(LogError, match="line 2: expected 17 columns; is the file cut off"):
        parse_log(f"{HEADER}\n{format_row(row(900))[:30]}\n", source="log")


def test_a_missing_log_is_said_to_be_missing(tmp_path):
    with pytest.raises(LogError, match="cannot be read"):
        read_log(tmp_path / "none.tsv")
