"""Tests of claims against exactly known p-values, and their rate of false alarms by simulation."""

from math import comb

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from tests.zoo.results.test_log import ALPHA, SIGMA, N
from tests.zoo.results.test_log import row as certified_row
from zoo.results.comparison import Claim, ComparedRows, compare
from zoo.results.multiple_testing import holm_adjusted
from zoo.results.paired_test import PairedTest
from zoo.results.subsampling import subsampled
from zoo.results.unpaired_test import UnpairedTest
from zoo.smoothing.bounds import clopper_pearson_lower

LEVEL = 0.001


def ones(num_ones, num):
    return np.array([1.0] * num_ones + [0.0] * (num - num_ones))


def test_a_share_on_the_same_images_is_tested_by_the_images_that_differ():
    """Eight of nine differing images better in the log: P(Bin(9, 1/2) >= 8) = 10/512."""
    claimed, audited = ones(18, 20), ones(10, 20)
    claimed[0] = 0.0
    assert PairedTest(claimed, audited).share_p_value() == pytest.approx(10 / 512)
    assert PairedTest(audited, claimed).share_p_value() == pytest.approx(511 / 512)
    assert PairedTest(claimed, claimed).share_p_value() == 1.0


def test_a_share_on_other_images_is_tested_by_how_the_ones_fall():
    """Three ones of six values, all in the log: one of the 20 choices of three."""
    assert UnpairedTest(ones(3, 3), ones(0, 3)).share_p_value() == pytest.approx(1 / 20)
    assert UnpairedTest(ones(0, 3), ones(3, 3)).share_p_value() == 1.0


def test_means_are_tested_by_all_exchanges_where_there_are_few():
    rng = np.random.default_rng(0)
    same = PairedTest(np.array([1.0, 2.0, 3.0, 4.0]), np.zeros(4))
    assert same.mean_p_value(level=LEVEL, generator=rng) == pytest.approx(1 / 16) == same.min_p_value
    other = UnpairedTest(np.array([1.0, 2.0, 3.0, 4.0]), np.zeros(3))
    assert other.mean_p_value(level=LEVEL, generator=rng) == pytest.approx(1 / 35) == other.min_p_value


def test_no_test_gives_less_than_its_least_p_value():
    assert UnpairedTest(ones(40, 40), ones(0, 7)).min_p_value == pytest.approx(1 / comb(47, 7))
    assert UnpairedTest(ones(40, 40), ones(0, 7)).share_p_value() == pytest.approx(1 / comb(47, 7))
    assert PairedTest(ones(7, 7), ones(0, 7)).share_p_value() == PairedTest(ones(7, 7), ones(0, 7)).min_p_value


def test_holms_adjustment_is_that_of_statsmodels():
    for p_values in ([0.04], [0.01, 0.04, 0.03, 0.005], [0.5, 0.5, 1e-6]):
        assert holm_adjusted(p_values) == pytest.approx(multipletests(p_values, method="holm")[1])


def test_an_overstated_share_as_large_as_promised_is_revealed_nine_times_in_ten():
    rng = np.random.default_rng(0)
    same = PairedTest(ones(80, 100), ones(80, 100))
    other = UnpairedTest(ones(160, 200), ones(80, 100))
    same_by, other_by = same.detectable_share(LEVEL), other.detectable_share(LEVEL)
    # Ten images must differ, all in one direction, for a p-value below 1/1000: 14 % gives them with chance 0.9.
    assert same_by == pytest.approx(0.14, abs=0.005) and 0.2 < other_by < 0.26
    revealed_same = revealed_other = 0
    for _ in range(400):
        overstated = int((rng.random(100) < same_by).sum())
        revealed_same += PairedTest(ones(100, 100), ones(100 - overstated, 100)).share_p_value() <= LEVEL
        audited = (rng.random(100) < 0.8 - other_by).astype(float)
        revealed_other += UnpairedTest(ones(160, 200), audited).share_p_value() <= LEVEL
    assert 0.86 < revealed_same / 400 < 0.94 and 0.86 < revealed_other / 400 < 0.94


def test_an_overstated_mean_as_large_as_promised_is_revealed_about_nine_times_in_ten():
    rng = np.random.default_rng(0)
    radii, noise = rng.uniform(0, 1, 60), 0.05
    by = PairedTest(radii, radii + noise * rng.standard_normal(60)).detectable_mean(LEVEL)
    revealed = 0
    for _ in range(100):
        audited = radii - by + noise * rng.standard_normal(60)
        revealed += PairedTest(radii, audited).mean_p_value(level=LEVEL, generator=rng) <= LEVEL
    assert revealed > 75 and by < noise


def test_too_few_images_reveal_nothing_and_say_so():
    assert PairedTest(ones(9, 9), ones(9, 9)).detectable_share(LEVEL) is None
    assert PairedTest(ones(5, 100), ones(5, 100)).detectable_share(LEVEL) is None  # 14 % are not even claimed
    assert UnpairedTest(ones(2, 100), ones(0, 10)).detectable_share(LEVEL) is None
    same = [(certified_row(900, idx=idx), certified_row(900, idx=idx)) for idx in range(5)]
    rows = ComparedRows(same=same, only_log=[], only_audit=[])
    assert compare(CLAIMS, rows, significance=0.005, generator=np.random.default_rng(0)) == []


CLAIMS = [
    Claim("certified accuracy at 0.5", lambda row: float(row.correct and row.radius >= 0.5)),
    Claim("certified accuracy at 0.75", lambda row: float(row.correct and row.radius >= 0.75)),
    Claim("average certified radius", lambda row: row.radius * row.correct, is_share=False),
]


def honest_rows(rng, p_of, indices, *, n=N):
    """What certifying the images with these p_A gives, by fresh noise."""
    full = [certified_row(int(rng.binomial(N, p_of[idx])), idx=idx) for idx in indices]
    return full if n == N else subsampled(full, n, generator=rng)


def audited(rng, *, better_by=0.0, n=N, thin=True):
    """The comparisons of 30 images of 120, of which the log holds every second; its p_A are `better_by` larger."""
    p_of = rng.beta(6, 1, 120)
    log = honest_rows(rng, np.minimum(p_of + better_by, 1), range(0, 120, 2))
    log = subsampled(log, n, generator=rng) if thin else log
    drawn = set(rng.choice(120, 60, replace=False).tolist())
    fresh = {row.idx: row for row in honest_rows(rng, p_of, sorted(drawn), n=n)}
    rows = ComparedRows(
        same=[(row, fresh[row.idx]) for row in log if row.idx in fresh],
        only_log=[row for row in log if row.idx not in fresh],
        only_audit=[row for idx, row in fresh.items() if idx % 2],
    )
    return compare(CLAIMS, rows, significance=0.2, generator=rng)


def rate_refuted(num=100, **how):
    rng = np.random.default_rng(1)
    found = [audited(rng, **how) for _ in range(num)]
    return np.mean([any(one.is_refuted for one in comparisons) for comparisons in found])


def test_honest_logs_are_refuted_no_more_often_than_the_significance_and_better_ones_are():
    """At 0.2, where 100 audits tell a rate; 0.33 is three standard errors above."""
    assert rate_refuted() <= 0.33
    assert rate_refuted(num=20, better_by=0.08) > 0.9


def test_a_log_of_more_draws_is_comparable_only_after_thinning():
    assert rate_refuted(n=100) <= 0.33
    assert rate_refuted(num=20, n=100, thin=False) == 1.0


def test_without_holms_correction_honest_logs_would_be_refuted_too_often():
    rng = np.random.default_rng(1)
    least = [min(one.p_value for one in audited(rng)) for _ in range(100)]
    assert np.mean(np.array(least) <= 0.2) > 0.33


def test_a_thinned_row_is_one_that_fewer_draws_could_have_given():
    rng = np.random.default_rng(0)
    rows = [certified_row(900, idx=idx) for idx in range(400)]
    fewer = subsampled(rows, 100, generator=rng)
    counts = np.array([row.provenance.count_a for row in fewer])
    # Hypergeometric: mean 90, variance 100 * 0.9 * 0.1 * 900 / 999 = 8.1; four standard errors.
    assert abs(counts.mean() - 90) < 4 * (8.1 / 400) ** 0.5 and 6 < counts.var() < 10.5
    assert {row.provenance.n for row in fewer} == {100}
    for row in fewer:
        assert row.provenance.p_a_lower == clopper_pearson_lower(row.provenance.count_a, 100, ALPHA)
        assert 0 < row.radius < 1.5005 * SIGMA and row.correct
    assert subsampled(rows, N, generator=rng) == rows
    assert subsampled([certified_row(500)], 100, generator=rng)[0].predict == -1
