"""Certification logs: ours and the published ones, and nothing that cannot be."""

import re
from dataclasses import replace

import numpy as np
import pytest

from zoo.errors import CertificationError, LogError
from zoo.results.bounded_mean import radius_ceiling
from zoo.results.log import (
    COLUMNS,
    HEADER,
    common_radius_asked,
    format_row,
    parse_log,
    read_log,
    row_of,
)
from zoo.results.subsampling import subsampled
from zoo.smoothing import Anytime, AtRadius, Certificate, FixedSample, SmoothingSpec
from zoo.smoothing.bounds import clopper_pearson_lower, clopper_pearson_upper
from zoo.smoothing.certificate import conclude
from zoo.smoothing.named_rules import UNNAMED_BOUND
from zoo.smoothing.radius import certified_radius, probability_at
from zoo.smoothing.stopping import Tallies
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
        label=4 if certifies else None, radius=radius, p_a_lower=p_a_lower, count_a=count_a, count_b=N - count_a,
        sigma=SIGMA, n0=100, n=N, alpha=ALPHA, stopping=stopping, radius_asked=radius_asked, noise=noise,
        bound=UNNAMED_BOUND[stopping], backend="torch-cpu-float32",
    )  # fmt: skip
    count_label = count_a if label == 4 else N - count_a
    return row_of(certificate, idx=idx, label=label, count_label=count_label, seconds=1.5, seed=7)


def line_of(row, **changed):
    """The row's line with some columns changed."""
    values = dict(zip(COLUMNS, format_row(row).split("\t"), strict=True)) | changed
    return "\t".join(values[name] for name in COLUMNS)


def test_the_published_columns_come_first_in_the_published_order():
    assert COLUMNS == (
        "idx", "label", "predict", "radius", "correct", "time", "count_a", "n", "n0", "alpha", "sigma", "p_a_lower",
        "stopping", "radius_asked", "noise", "backend", "seed", "bound", "count_b", "p_b_upper", "count_label",
    )  # fmt: skip


def test_a_row_states_its_time_and_without_provenance_it_has_the_published_columns_only():
    assert format_row(row(1000)).split("\t")[5] == "0:00:01.500000"
    assert format_row(replace(row(1000), provenance=None)).count("\t") == 5


def test_only_at_radius_rows_have_a_common_radius_and_mix_with_no_others():
    mixed = [row(1000, rule=FIXED), row(1000, rule=ANYTIME)]
    assert common_radius_asked(mixed) is None
    with pytest.raises(LogError, match="rules fixed and anytime"):
        common_radius_asked([*mixed, row(1000, rule=AT_HALF)])


def test_a_row_with_more_columns_than_the_header_is_refused():
    with pytest.raises(LogError, match="line 2: expected 6 columns"):
        parse_log(PUBLISHED.replace("0:02:21.756621", "0:02:21.756621\t1"), source="log")


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
        ("count_a", "899", "count_label is 900, which does not fit label 4, predict 4, count_a 899"),
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
        (AT_HALF, {"stopping": "fixed", "bound": ""}, "radius_asked is 0.5, but the rule is fixed"),
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
    with pytest.raises(LogError, match="line 2: expected 21 columns; is the file cut off"):
        parse_log(f"{HEADER}\n{format_row(row(900))[:30]}\n", source="log")


def test_a_missing_log_is_said_to_be_missing(tmp_path):
    with pytest.raises(LogError, match="cannot be read"):
        read_log(tmp_path / "none.tsv")


def simultaneous_row(count_a, count_b, *, n=N, idx=3, label=4):
    """The row of a certificate by the bound of class and runner-up, as the rule itself makes it."""
    rule = FixedSample(n, bound="simultaneous")
    votes = VoteCounts({4: count_a, 7: count_b, 1: n - count_a - count_b})
    smoothing = SmoothingSpec(sigma=SIGMA, n0=100, alpha=ALPHA, stopping=rule)
    certificate = conclude(4, votes, smoothing, alpha=ALPHA, backend="torch-cpu-float32")
    return row_of(certificate, idx=idx, label=label, count_label=votes.of(label), seconds=1.5, seed=7)


def log_of(*rows):
    return "\n".join([HEADER, *map(format_row, rows)]) + "\n"


def without(text, *names):
    """The log without some columns, as an earlier version wrote it."""
    kept = [place for place, name in enumerate(COLUMNS) if name not in names]
    lines = [[line.split("\t")[place] for place in kept] for line in text.splitlines()]
    return "\n".join(map("\t".join, lines)) + "\n"


ADDED = ("bound", "count_b", "p_b_upper", "count_label")


def test_a_log_names_its_bound_and_is_read_back_to_the_last_digit():
    rows = [simultaneous_row(450, 300, idx=0), simultaneous_row(450, 440, idx=1), simultaneous_row(999, 1, idx=2)]
    rows.append(simultaneous_row(450, 300, idx=3, label=7))
    assert [row.predict for row in rows] == [4, -1, 4, 4]
    assert rows[0].provenance.p_a_lower < 0.5 and rows[0].radius > 0
    values = dict(zip(COLUMNS, format_row(rows[0]).split("\t"), strict=True))
    assert (values["bound"], values["count_b"], values["count_label"]) == ("simultaneous", "300", "450")
    assert float(values["p_b_upper"]) == clopper_pearson_upper(300, N, ALPHA / 2)
    assert rows[3].provenance.count_label == 300
    assert parse_log(log_of(*rows), source="log") == rows
    assert recomputation_faults(rows, num_values=3 * 32 * 32) == []


@pytest.mark.parametrize("rule", RULES)
def test_a_log_without_the_later_columns_has_the_bound_that_its_rule_had(rule):
    (read,) = parse_log(without(log_of(row(1000, rule=rule)), *ADDED), source="log")
    how = read.provenance
    assert how.bound == ("clopper-pearson" if rule == FIXED else "beta-mixture")
    assert how.count_b is how.p_b_upper is how.count_label is None
    resumed = parse_log(log_of(read, row(900, idx=5, rule=rule)), source="log")
    assert resumed[0] == read and resumed[1].provenance.count_b == 100


def test_a_log_of_the_first_version_with_a_runner_up_is_read_and_recomputed():
    (read,) = parse_log(without(log_of(simultaneous_row(450, 300)), "p_b_upper", "count_label"), source="log")
    assert (read.provenance.bound, read.provenance.count_b, read.provenance.p_b_upper) == ("simultaneous", 300, None)
    assert recomputation_faults([read], num_values=1) == []
    (doctored,) = parse_log(log_of(replace(read, provenance=replace(read.provenance, count_b=100))), source="log")
    assert "radius is" in recomputation_faults([doctored], num_values=1)[0]
    with pytest.raises(LogError, match="is above"):
        parse_log(log_of(replace(read, provenance=replace(read.provenance, count_b=301))), source="log")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"count_b": "100"}, None),  # fewer votes for the runner-up would allow more
        ({"count_b": "299"}, None),
        ({"p_b_upper": "0.4"}, "above 0.0, the radius that p_a_lower .* and p_b_upper 0.4 prove"),
        ({"count_b": "301"}, "p_b_upper is .*, but the counts prove no less than"),
        ({"p_b_upper": "0.2"}, "p_b_upper is 0.2, but the counts prove no less than 0.34"),
        ({"p_b_upper": "nan"}, "p_b_upper is nan"),
        ({"p_b_upper": "7"}, "p_b_upper is 7"),
        ({"radius": "0.2"}, "above .*, the radius that p_a_lower .* and p_b_upper .* prove"),
        ({"count_b": "551"}, "count_b is 551, which does not fit count_a 450 of n 1000"),
        ({"count_b": "-1"}, "count_b is -1|is out of range|must be in"),
        ({"count_b": "", "count_label": ""}, "count_b is missing, which the bound simultaneous uses"),
        ({"bound": "other"}, "bound is other, expected one of clopper-pearson, simultaneous under the rule fixed"),
        ({"bound": "tangent-bets"}, "bound is tangent-bets, expected one of"),
        ({"bound": ""}, "p_b_upper is .*, but the bound clopper-pearson has none|p_a_lower"),
        ({"stopping": "anytime"}, "bound is simultaneous, expected one of tangent-bets, beta-mixture"),
        ({"count_a": "449", "count_label": "449"}, "p_a_lower .* is above the .* that the counts prove"),
        ({"p_a_lower": ""}, "p_a_lower is None, expected a probability"),
        ({"count_label": "449"}, "count_label is 449, which does not fit label 4, predict 4, count_a 450"),
        ({"label": "7", "correct": "0"}, "count_label is 450, which does not fit label 7, predict 4"),
        ({"count_label": "-1"}, "count_label is -1"),
    ],
)
def test_a_row_of_the_simultaneous_bound_claims_no_more_than_its_counts_prove(changed, said):
    honest = simultaneous_row(450, 300)
    text = f"{HEADER}\n{line_of(honest, **changed)}\n"
    if said is None:
        (row,) = parse_log(text, source="log")
        assert "p_b_upper is" in recomputation_faults([row], num_values=1)[0]
        return
    with pytest.raises(LogError, match=said):
        parse_log(text, source="log")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"count_b": "0"}, "count_b is 0, which does not fit count_a 500 of n 1000"),
        ({"count_b": "400", "count_label": "450"}, "count_label is 450, which does not fit label 4, predict -1"),
        ({"count_b": "", "count_label": "450"}, "count_label is 450, but the row has no count_b"),
        ({"p_b_upper": "0.4"}, "p_b_upper is 0.4, but the bound clopper-pearson has none"),
    ],
)
def test_an_abstention_has_votes_that_can_be(changed, said):
    with pytest.raises(LogError, match=said):
        parse_log(f"{HEADER}\n{line_of(row(500), **changed)}\n", source="log")


def test_a_log_with_some_of_the_later_columns_is_refused():
    with pytest.raises(LogError, match="but not count_b"):
        parse_log(without(log_of(row(1000)), "count_b", "p_b_upper", "count_label"), source="log")
    with pytest.raises(LogError, match="but not count_label"):
        parse_log(without(log_of(row(1000)), "count_label"), source="log")


def test_a_test_of_tangents_claims_no_probability():
    certified = row(1000, rule=AT_HALF)
    how = replace(certified.provenance, bound="tangent-bets", p_a_lower=None)
    (read,) = parse_log(log_of(replace(certified, provenance=how)), source="log")
    assert read.provenance == how
    with pytest.raises(LogError, match="p_a_lower is None"):
        parse_log(log_of(replace(certified, provenance=replace(how, bound="beta-mixture"))), source="log")


def bets_row(rule, count_a, count_b, n, *, idx=3):
    """The row of a certificate that `rule` itself makes of these votes at its last look."""
    counts = {"counts_a_M": count_a, "counts_b_M": count_b, "nums_M": n}
    tallies = Tallies(**{name: np.array([count]) for name, count in counts.items()})
    radius = rule.look(tallies, radius=None, sigma=SIGMA, alpha=ALPHA).radius
    votes = VoteCounts({4: count_a, 7: count_b, **{10 + other: 1 for other in range(n - count_a - count_b)}})
    smoothing = SmoothingSpec(sigma=SIGMA, n0=100, alpha=ALPHA, stopping=rule)
    certificate = conclude(4, votes, smoothing, alpha=ALPHA, radius=radius, backend="torch-cpu-float32")
    return row_of(certificate, idx=idx, label=4, count_label=count_a, seconds=1.5, seed=7)


def test_rows_of_bets_on_tangents_are_recomputed_from_their_counts():
    rows = [
        bets_row(AtRadius(0.25), 120, 10, 200, idx=0),
        bets_row(AtRadius(0.25), 90, 80, 200, idx=1),
        bets_row(Anytime(10_000), 100, 10, 192, idx=2),  # below one half of the votes with a radius
        bets_row(Anytime(1000, 0.0), 990, 10, 1000, idx=3),  # the exact look after all draws
        bets_row(Anytime(10_000), 90, 80, 192, idx=4),
    ]
    assert [row.predict for row in rows] == [4, -1, 4, 4, -1] and rows[3].provenance.p_a_lower is not None
    assert [parse_log(log_of(row), source="log") for row in rows] == [[row] for row in rows]
    assert recomputation_faults(rows, num_values=3 * 32 * 32) == []


@pytest.mark.parametrize(
    ("made", "changed", "said"),
    [
        ((AtRadius(0.25), 120, 10, 200), {"count_b": 60}, "120 of 200 draws do not certify radius 0.25, but the row"),
        ((AtRadius(0.25), 120, 10, 200), {"n": 400}, "do not certify"),
        ((AtRadius(0.25), 90, 80, 200), {"count_b": 1}, "90 of 200 draws certify radius 0.25, but the row abstains"),
        ((Anytime(10_000), 100, 10, 192), {"count_a": 10}, "but its counts give at least None and at most"),
        ((Anytime(10_000), 90, 80, 192), {"count_b": 1}, "radius is None, but its counts give at least"),
        ((Anytime(1000, 0.0), 990, 10, 1000), {"count_a": 980}, "p_a_lower is .*, but its counts give"),
    ],
)
def test_doctored_counts_under_bets_on_tangents_are_named(made, changed, said):
    honest = bets_row(*made)
    doctored = replace(honest, provenance=replace(honest.provenance, **changed))
    (fault,) = recomputation_faults([doctored], num_values=3 * 32 * 32)
    assert re.search(said, fault), fault


def test_a_radius_between_two_tested_ones_is_named():
    honest = bets_row(Anytime(10_000), 160, 10, 192)
    (fault,) = recomputation_faults([replace(honest, radius=honest.radius - 0.002)], num_values=3 * 32 * 32)
    assert "at least" in fault or "not a multiple of 0.01 sigma" in fault


def test_what_follows_from_rows_of_the_simultaneous_bound():
    all_agree = [simultaneous_row(N, 0, idx=0), simultaneous_row(N, 0, idx=1)]
    assert radius_ceiling(all_agree) == all_agree[0].radius
    with pytest.raises(CertificationError, match="with the bound simultaneous cannot be subsampled"):
        subsampled(all_agree, 100, generator=np.random.default_rng(0))


OTHER_BOUND = {"bound": "beta-mixture", "stopping": "anytime"}
BETS = {"bound": "tangent-bets", "stopping": "anytime", "p_a_lower": ""}
AT_RADIUS_BETS = {**BETS, "stopping": "at-radius", "radius": "0.5", "radius_asked": "0.5"}
ABSTAINS = {"predict": "-1", "correct": "0", "radius": "0.0"}
CLEAN = {"sigma": "0.0", "n": "1", "n0": "0", "count_a": "1", "count_b": "0", "count_label": "1", "radius": "0.0"}
OF_900 = clopper_pearson_lower(900, N, ALPHA)
SIMULTANEOUS_450 = simultaneous_row(450, 300).provenance


@pytest.mark.parametrize(
    ("base", "changed"),
    [
        (row(0), {}),
        (row(1000), {}),
        (row(900), {"n0": "0"}),
        (row(900), {"count_b": "1"}),
        (row(900), {"p_a_lower": str(OF_900 * (1 + 5e-13))}),
        (row(900), {"radius": str(row(900).radius * (1 + 5e-13))}),
        (row(900), {"count_b": "", "count_label": ""}),
        (row(900, label=7), {"count_label": "100"}),
        (row(900, label=7), {"count_label": "0"}),
        (row(500), {"count_b": "300", "count_label": "300"}),
        (row(500), {"count_b": "300", "count_label": "500"}),
        (row(900), {**CLEAN, "p_a_lower": "1.0"}),
        (row(900), {"idx": "0", "label": "0", "predict": "0"}),
        (row(900), {**OTHER_BOUND, "p_a_lower": "0.5", **ABSTAINS}),
        (row(900), {**OTHER_BOUND, "p_a_lower": "0.0", **ABSTAINS}),
        (row(900), {**OTHER_BOUND, "p_a_lower": "1.0", **ABSTAINS}),
        (row(900), BETS),
        (row(900), {**BETS, "p_a_lower": str(OF_900)}),
        (row(900), AT_RADIUS_BETS),
        (row(900), {**AT_RADIUS_BETS, **ABSTAINS}),
        (simultaneous_row(450, 300), {"p_b_upper": str(SIMULTANEOUS_450.p_b_upper * (1 - 5e-13))}),
        (simultaneous_row(450, 300), {"p_b_upper": "1", **ABSTAINS}),
        (simultaneous_row(450, 300), {"p_b_upper": str(SIMULTANEOUS_450.p_a_lower), **ABSTAINS}),
    ],
)
def test_a_row_at_the_edge_of_what_can_be_is_read(base, changed):
    parse_log(f"{HEADER}\n{line_of(base, **changed)}\n", source="log")


@pytest.mark.parametrize(
    ("base", "changed", "said"),
    [
        (row(900), {"n0": "-1"}, "after n0 -1"),
        (row(0), {"n": "0", "count_b": "0"}, "of n 0"),
        (row(0), {"count_a": "-1"}, "count_a is -1"),
        (row(900), {"count_b": "101"}, "count_b is 101"),
        (row(900), {"count_b": "0"}, "count_b is 0"),
        (row(900, label=7), {"count_label": "101"}, "count_label is 101"),
        (row(500), {"count_b": "300", "count_label": "301"}, "count_label is 301"),
        (row(500), {"count_label": "-1"}, "count_label is -1"),
        (row(900), {"p_a_lower": str(OF_900 * (1 + 5e-12))}, "that the counts prove"),
        (row(900), {"p_a_lower": str(clopper_pearson_lower(900, N, 2 * ALPHA))}, "that the counts prove"),
        (row(900), {"sigma": "2.0", "p_a_lower": "0.95"}, "that the counts prove"),
        (row(900), {"radius": str(row(900).radius * (1 + 5e-12))}, "is above"),
        (row(900), {**CLEAN, "p_a_lower": "1.0", "radius": "0.1"}, "radius 0.1 is above 0.0"),
        (row(900), {**OTHER_BOUND, "p_a_lower": "1.5"}, "p_a_lower is 1.5, expected a probability"),
        (row(900), {**OTHER_BOUND, "p_a_lower": "-0.5", **ABSTAINS}, "p_a_lower is -0.5, expected a probability"),
        (row(900), {**OTHER_BOUND, "p_a_lower": "1.0"}, "is above 0.0"),
        (row(900), {**OTHER_BOUND, "p_a_lower": "0.4"}, "is above 0.0"),
        (row(900), {**OTHER_BOUND, "p_a_lower": ""}, "p_a_lower is None, expected a probability"),
        (row(900), {**BETS, "p_a_lower": str(OF_900 - 0.01)}, "is above"),
        (row(900), {**BETS, "count_b": "", "count_label": ""}, "count_b is missing, which the bound tangent-bets uses"),
        (row(900), {**BETS, "p_b_upper": "0.1"}, "p_b_upper is 0.1, but the bound tangent-bets has none"),
        (row(900), {**AT_RADIUS_BETS, "p_a_lower": "0.9"}, "p_a_lower is 0.9, but the bound tangent-bets of this rule"),
        (row(900), {**AT_RADIUS_BETS, "radius": "0.4"}, "radius 0.4 is neither the requested 0.5"),
        (row(900), {"noise": "discrete", "sigma": "11.0"}, "at most 10 for discrete noise"),
        (row(900), {"alpha": "1.0"}, "alpha must be in"),
        (row(900), {"idx": "-1"}, "idx -1"),
        (row(900, label=7), {"label": "-1"}, "label -1 is not a class index"),
        (row(900), {"predict": "-2", "correct": "0"}, "is out of range"),
        (row(900), {"radius": "inf"}, "radius inf is not a certified radius"),
        (simultaneous_row(450, 300), {"p_b_upper": str(SIMULTANEOUS_450.p_b_upper * (1 - 5e-12))}, "prove no less"),
        (simultaneous_row(450, 300), {"p_b_upper": "1.1", **ABSTAINS}, "p_b_upper is 1.1"),
        (simultaneous_row(450, 300), {"p_b_upper": str(SIMULTANEOUS_450.p_a_lower)}, "is above 0.0"),
    ],
)  # fmt: skip
def test_a_row_just_beyond_what_can_be_is_refused(base, changed, said):
    with pytest.raises(LogError, match=f"line 2: .*{said}"):
        parse_log(f"{HEADER}\n{line_of(base, **changed)}\n", source="log")
