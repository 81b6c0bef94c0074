"""Certification logs: ours and the published ones, and nothing that cannot be."""

import numpy as np
import pytest

from zoo.errors import CertificationError, LogError
from zoo.results.bounded_mean import radius_ceiling
from zoo.results.log import (
    COLUMNS,
    HEADER,
    HEADER_WITH_BOUND,
    common_radius_asked,
    format_row,
    parse_log,
    read_log,
    row_of,
)
from zoo.results.subsampling import subsampled
from zoo.smoothing import Certificate, FixedSample, SmoothingSpec
from zoo.smoothing.bounds import clopper_pearson_lower
from zoo.smoothing.certificate import conclude
from zoo.smoothing.radius import certified_radius, probability_at
from zoo.smoothing.vote_counts import VoteCounts
from zoo.verification.recomputation import recomputation_faults

PUBLISHED = (
    "idx\tlabel\tpredict\tradius\tcorrect\ttime\n0\t65\t65\t0.3706\t1\t0:02:21.756621\n100\t3\t-1\t0.0\t0\t0:01:00\n"
)
SIGMA, ALPHA, N = 0.5, 0.001, 1000
FIXED, ANYTIME, AT_HALF = ("fixed", None), ("anytime", None), ("at-radius", 0.5)
RULES = [FIXED, ANYTIME, AT_HALF]


def row(count_a, *, label=4, idx=3, rule=FIXED, noise="gaussian"):
    """What `rule` makes of `count_a` of 1,000 votes for class 4 under a bound that they support."""
    stopping, radius_asked = rule
    bound = clopper_pearson_lower(count_a, N, ALPHA)
    if radius_asked is None:
        certifies, p_a_lower = bound > 0.5, bound
        radius = certified_radius(bound, SIGMA) if certifies else 0.0
    else:
        certifies = bound >= probability_at(radius_asked, SIGMA)
        p_a_lower, radius = (probability_at(radius_asked, SIGMA), radius_asked) if certifies else (0.0, 0.0)
    certificate = Certificate(
        label=4 if certifies else None, radius=radius, p_a_lower=p_a_lower, count_a=count_a, sigma=SIGMA, n0=100, n=N,
        alpha=ALPHA, stopping=stopping, radius_asked=radius_asked, noise=noise, backend="torch-cpu-float32",
    )  # fmt: skip
    return row_of(certificate, idx=idx, label=label, seconds=1.5, seed=7)


def line_of(row, **changed):
    """The row's line with some columns changed."""
    values = dict(zip(COLUMNS, format_row(row).split("\t"), strict=True)) | changed
    return "\t".join(values[name] for name in COLUMNS)


def test_the_published_columns_come_first_in_the_published_order():
    assert COLUMNS == (
        "idx", "label", "predict", "radius", "correct", "time", "count_a", "n", "n0", "alpha", "sigma", "p_a_lower",
        "stopping", "radius_asked", "noise", "backend", "seed",
    )  # fmt: skip


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("count_a", [1000, 950, 500])
def test_a_row_is_read_back_to_the_last_digit(count_a, rule):
    written = row(count_a, rule=rule, noise="discrete")
    assert parse_log(f"{HEADER}\n{format_row(written)}\n", source="log") == [written]


def test_a_row_says_its_rule_the_radius_asked_and_what_computed():
    columns = dict(zip(COLUMNS, format_row(row(1000, rule=AT_HALF, noise="discrete")).split("\t"), strict=True))
    said = {name: columns[name] for name in ("radius", "n", "stopping", "radius_asked", "noise", "backend", "seed")}
    assert said == {
        "radius": "0.5", "n": "1000", "stopping": "at-radius", "radius_asked": "0.5", "noise": "discrete",
        "backend": "torch-cpu-float32", "seed": "7",
    }  # fmt: skip
    assert format_row(row(1000)).split("\t")[COLUMNS.index("radius_asked")] == ""


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
        (PUBLISHED + "5\t1\t1\tnan\t1\t0:00:01\n", "not a certified radius"),
        (PUBLISHED + "5\t1\t1\t-1\t1\t0:00:01\n", "not a certified radius"),
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
        ("count_a", "899", "p_a_lower .* is above the .* that the counts prove"),
        ("alpha", "nan", "alpha must be in"),
        ("alpha", "0.0001", "that the counts prove"),
        ("n0", "-3", "after n0 -3"),
        ("p_a_lower", "nan", "p_a_lower is nan"),
        ("sigma", "-1", "sigma must be"),
        ("stopping", "banana", "stopping is 'banana', expected one of fixed, anytime, at-radius"),
        ("noise", "x", "noise must be"),
        ("predict", "-5", "is out of range|correct is"),
        ("idx", "-1", "is out of range"),
        ("correct", "2", "is out of range"),
    ],
)
def test_a_row_that_claims_more_than_its_own_bound_proves_is_refused(column, value, said):
    with pytest.raises(LogError, match=rf"line 2: .*{said}"):
        parse_log(f"{HEADER}\n{line_of(row(900), **{column: value})}\n", source="log")


@pytest.mark.parametrize(
    ("rule", "changed", "said"),
    [
        (AT_HALF, {"radius": "0.25"}, "radius 0.25 is neither the requested 0.5 nor an abstention"),
        (AT_HALF, {"radius": "0.0"}, "radius 0.0 is neither the requested 0.5 nor an abstention"),
        (AT_HALF, {"radius": "0.75", "radius_asked": "0.75"}, "is above 0.5"),
        (AT_HALF, {"radius_asked": ""}, "has no radius_asked"),
        (AT_HALF, {"stopping": "fixed"}, "radius_asked is 0.5, but the rule is fixed"),
        (FIXED, {"radius_asked": "0.5"}, "radius_asked is 0.5, but the rule is fixed"),
        (ANYTIME, {"radius_asked": "0.5"}, "radius_asked is 0.5, but the rule is anytime"),
    ],
)
def test_a_row_answers_what_its_rule_asks_or_is_refused(rule, changed, said):
    with pytest.raises(LogError, match=f"line 2: .*{said}"):
        parse_log(f"{HEADER}\n{line_of(row(1000, rule=rule), **changed)}\n", source="log")


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (row(1000, idx=9), "at-radius 0.5 and fixed"),
        (row(1000, idx=9, rule=("at-radius", 0.25)), "at-radius 0.5 and at-radius 0.25"),
    ],
)
def test_at_radius_rows_beside_others_are_refused_naming_both(other, said):
    first = row(1000, rule=AT_HALF)
    with pytest.raises(LogError, match=f"log mixes rows of the rules {said}"):
        parse_log(f"{HEADER}\n{format_row(first)}\n{format_row(other)}\n", source="log")
    assert common_radius_asked([first, first]) == 0.5 and common_radius_asked([row(1000)]) is None


def test_a_log_with_half_of_our_columns_or_a_row_cut_off_is_refused():
    with pytest.raises(LogError, match=r"but not n$"):
        parse_log("\t".join(COLUMNS[:7]) + "\n", source="log")
    with pytest.raises(LogError, match="line 2: expected 17 columns; is the file cut off"):
        parse_log(f"{HEADER}\n{format_row(row(900))[:30]}\n", source="log")


def test_a_missing_log_is_said_to_be_missing(tmp_path):
    with pytest.raises(LogError, match="cannot be read"):
        read_log(tmp_path / "none.tsv")


def simultaneous_row(count_a, count_b, *, n=N, idx=3):
    """The row of a certificate by the bound of class and runner-up, as the rule itself makes it."""
    rule = FixedSample(n, bound="simultaneous")
    votes = VoteCounts({4: count_a, 7: count_b, 1: n - count_a - count_b})
    smoothing = SmoothingSpec(sigma=SIGMA, n0=100, alpha=ALPHA, stopping=rule)
    certificate = conclude(4, votes, smoothing, alpha=ALPHA, backend="torch-cpu-float32")
    return row_of(certificate, idx=idx, label=4, seconds=1.5, seed=7)


def simultaneous_log(*rows):
    return "\n".join([HEADER_WITH_BOUND, *map(format_row, rows)]) + "\n"


def test_a_log_of_the_simultaneous_bound_names_it_and_is_read_back_to_the_last_digit():
    rows = [simultaneous_row(450, 300, idx=0), simultaneous_row(450, 440, idx=1), simultaneous_row(999, 1, idx=2)]
    assert [row.predict for row in rows] == [4, -1, 4] and rows[0].provenance.p_a_lower < 0.5 and rows[0].radius > 0
    assert f"{HEADER}\tbound\tcount_b" == HEADER_WITH_BOUND
    assert format_row(rows[0]).endswith("\tsimultaneous\t300")
    assert parse_log(simultaneous_log(*rows), source="log") == rows
    assert recomputation_faults(rows, num_values=3 * 32 * 32 * 1100) == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("\t300", "\t100", None),  # fewer votes for the runner-up would allow more
        ("\t300", "\t301", "the radius that the counts prove"),
        ("\t300", "\t551", "count_b is 551, which does not fit count_a 450 of n 1000"),
        ("\t300", "\t", "count_b None"),
        ("\tsimultaneous", "\tother", "bound is other"),
        ("\tsimultaneous", "\t", "bound is None, count_b 300"),
        ("\tfixed", "\tanytime", "stopping anytime"),
        ("\t450", "\t449", "above the"),
    ],
)
def test_a_row_of_the_simultaneous_bound_claims_no_more_than_its_counts_prove(old, new, said):
    text = simultaneous_log(simultaneous_row(450, 300))
    assert text.count(old) == 1
    if said is None:
        (row,) = parse_log(text.replace(old, new), source="log")
        assert "radius is" in recomputation_faults([row], num_values=1)[0]
        return
    with pytest.raises(LogError, match=said):
        parse_log(text.replace(old, new), source="log")


def test_a_log_with_one_of_the_columns_of_a_bound_is_refused():
    with pytest.raises(LogError, match="but not count_b"):
        parse_log(f"{HEADER}\tbound\n{format_row(row(1000))}\tsimultaneous\n", source="log")


def test_what_follows_from_rows_of_the_simultaneous_bound():
    all_agree = [simultaneous_row(N, 0, idx=0), simultaneous_row(N, 0, idx=1)]
    assert radius_ceiling(all_agree) == all_agree[0].radius
    with pytest.raises(CertificationError, match="with the bound simultaneous cannot be subsampled"):
        subsampled(all_agree, 100, generator=np.random.default_rng(0))
