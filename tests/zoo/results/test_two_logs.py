"""The comparison of two logs, against counts by hand, and what is not comparable."""

from dataclasses import replace

import pytest
from scipy import stats

from tests.zoo.results.test_log import AT_HALF
from tests.zoo.results.test_log import row as certified_row
from zoo.errors import LogError
from zoo.results.log import CertificationRow
from zoo.results.summary import binomial_interval
from zoo.results.two_logs import compare_logs
from zoo.results.usual_radii import usual_radii


def row(idx, predict, radius, label=1):
    return CertificationRow(idx=idx, label=label, predict=predict, radius=radius, correct=label == predict, time="0")


# Ten images: right with 0.6 in both, in A alone (2), in B alone (5), and two that nobody certifies.
A = [row(i, 1, 0.6) for i in range(3)] + [row(i, -1, 0.0) for i in range(3, 8)] + [row(8, 2, 0.9), row(9, 1, 0.1)]
B = [row(0, 1, 0.6), row(1, 2, 0.7), row(2, -1, 0.0)] + [row(i, 1, 0.5) for i in range(3, 8)] + [A[8], row(9, 1, 0.2)]


def test_shares_differences_and_tests_are_those_counted_by_hand():
    compared = compare_logs(A, B, radii=[0.0, 0.5, 1.0])
    at_zero, at_half, at_one, abstention = compared.shares
    assert (at_zero.a, at_zero.b, at_zero.only_a, at_zero.only_b) == (0.4, 0.7, 2, 5)
    assert (at_half.a, at_half.b, at_half.difference) == (0.3, 0.6, pytest.approx(0.3))
    assert at_half.p_value == pytest.approx(stats.binomtest(5, 7, 0.5).pvalue, rel=1e-9)
    assert at_half.difference_interval[0] < 0.3 < at_half.difference_interval[1]
    assert (at_one.a, at_one.b, at_one.p_value) == (0.0, 0.0, 1.0)
    bound = binomial_interval(0, 10)[1]  # ten equal images prove no equality
    assert at_one.difference_interval == (-bound, bound)
    assert (abstention.a, abstention.b, abstention.only_a, abstention.only_b) == (0.5, 0.1, 5, 1)
    assert abstention.adjusted_p_value >= abstention.p_value
    means = compared.average_certified_radius
    assert (means.a, means.b) == (pytest.approx(0.19), pytest.approx(0.33))
    assert [image.idx for image in compared.changed] == [1, 2, 3, 4, 5, 6, 7]


def test_a_log_equals_itself():
    rows = [certified_row(count, idx=count) for count in (950, 980, 999)]
    compared = compare_logs(rows, rows, radii=[0.5])
    assert compared.notes == () and compared.changed == () and compared.average_certified_radius.difference == 0
    low, high = compared.average_certified_radius.difference_interval
    assert low < 0 < high


def test_every_differing_condition_is_stated():
    rows = [certified_row(count, idx=count) for count in (950, 980)]
    other = [
        replace(r, provenance=replace(r.provenance, n=2000, alpha=0.01, backend="torch-cuda-float32")) for r in rows
    ]
    notes = compare_logs(rows, other, radii=[0.5]).notes
    assert [note.split(" differs")[0] for note in notes] == ["n", "alpha", "the backend"]
    assert "1,000 in the first log, 2,000 in the second; fewer draws give smaller radii" in notes[0]
    assert any(
        "not recorded" in note for note in compare_logs(rows, [row(r.idx, 4, 0.5, 4) for r in rows], radii=[0]).notes
    )


@pytest.mark.parametrize(
    ("first", "second", "says"),
    [
        (A, B[1:], "different images, 1 are only in the first and 0 only in the second"),
        (A, [replace(B[0], label=3, correct=False), *B[1:]], "image 0 has class 1 in the first log and class 3"),
        ([], [], "no rows"),
        ([certified_row(1000, rule=AT_HALF)], [certified_row(1000, rule=("at-radius", 0.25))], "0.25 and 0.5"),
    ],
)
def test_logs_that_cannot_be_compared_fairly_are_refused_in_a_sentence(first, second, says):
    with pytest.raises(LogError, match=says) as refused:
        compare_logs(first, second, radii=[0.0])
    assert "\n" not in str(refused.value)


def test_a_log_of_one_radius_is_compared_there_only():
    rows, at_half = [certified_row(999)], [certified_row(999, rule=AT_HALF)]
    compared = compare_logs(rows, at_half, radii=[0.0, 1.0])
    assert [share.radius for share in compared.shares] == [0.5, None] and compared.average_certified_radius is None


def with_sigma(sigma, n=100_000, alpha=0.001):
    one = certified_row(1000)
    return [replace(one, radius=0.1, provenance=replace(one.provenance, sigma=sigma, n=n, alpha=alpha))]


@pytest.mark.parametrize(
    ("rows", "radii"),
    [
        (with_sigma(0.5), (0.0, 0.5, 1.0, 1.5)),  # the papers' radii
        (with_sigma(0.25), (0.0, 0.25, 0.5, 0.75)),
        (with_sigma(1.0), (0.0, 1.0, 2.0, 3.0)),
        (with_sigma(0.12), (0.0, 0.1, 0.2, 0.3, 0.4)),
        (with_sigma(0.5, n=1000), (0.0, 0.25, 0.5, 0.75, 1.0)),
        ([row(0, 1, 0.8)], (0.0, 0.25, 0.5, 0.75)),
        ([row(0, -1, 0.0)], (0.0,)),
        ([], (0.0,)),
    ],
)
def test_the_usual_radii_are_round_and_within_reach(rows, radii):
    assert usual_radii(rows) == radii
