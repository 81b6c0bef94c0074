"""Every rule ends when it says, keeps its level however it is looked at, and needs hardly more draws than any could."""

import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from scipy.special import ndtr

from benchmarks.false_certificates import Boundary, greatest_wealth
from zoo.errors import CertificationError
from zoo.results.log import read_log
from zoo.smoothing.bounds import clopper_pearson_lower, clopper_pearson_upper
from zoo.smoothing.confidence_sequence import mixture_lower
from zoo.smoothing.radius import certified_radius
from zoo.smoothing.stopping import Anytime, AtRadius, FixedSample, Proof, Tallies, Tally, proved_by_sequence
from zoo.smoothing.stopping.anytime import _climb, _rungs
from zoo.smoothing.stopping.forecast import favourable_votes
from zoo.smoothing.stopping.rule import is_scheduled, one_sided_proof
from zoo.smoothing.tangent_bets import gap_of, log_wealth
from zoo.smoothing.vote_counts import VoteCounts

RUNS, LOOKS = 20_000, 10_000
PROBABILITIES = (0.55, 0.8, 0.95, 0.99, 0.9999)
# sigma 0.5: the log of the ImageNet ResNet-50 of Jeong and Shin 2020 on 500 images, radius 0 where it abstains.
LOG = Path(__file__).parents[2] / "data" / "consistency_imagenet_sigma0.50.tsv"


def least_count_above(lower, p):
    """For each number of draws up to LOOKS, the smallest count whose lower bound exceeds p; one more where none does.

    `lower(counts, nums)` grows with the count: a bisection over counts, for all numbers of draws at once.
    """
    nums = np.arange(1, LOOKS + 1)
    low, high = np.full_like(nums, -1), nums + 1
    while (high - low > 1).any():
        middle = (low + high) // 2
        exceeds = lower(np.clip(middle, 0, nums), nums) > p
        high, low = (
            np.where(exceeds & (high - low > 1), middle, high),
            np.where(exceeds | (high - low <= 1), low, middle),
        )
    return high


def num_runs_ever_above(least_counts, p, *, seed=0):
    """Of RUNS simulated runs, those whose count ever reaches the least count that exceeds p."""
    rng = np.random.default_rng(seed)
    wrong = 0
    for _ in range(RUNS // 500):
        counts = np.cumsum(rng.random((500, LOOKS), dtype=np.float32) < p, axis=1, dtype=np.int32)
        wrong += int((counts >= least_counts).any(axis=1).sum())
    return wrong


def most_allowed(alpha):
    return stats.binom.ppf(0.9999, RUNS, alpha)


@pytest.mark.slow
@pytest.mark.parametrize("p", [0.8, 0.9999])
def test_the_mixture_bound_ever_exceeds_p_in_at_most_a_share_alpha_of_runs(p):
    alpha = 0.05
    wrong = num_runs_ever_above(least_count_above(lambda counts, nums: mixture_lower(counts, nums, alpha), p), p)
    assert wrong <= most_allowed(alpha)
    assert wrong > 0 or p == 0.9999, "the bound is so loose that the test could not fail"


def test_the_fixed_bound_looked_at_after_every_draw_fails_the_same_test():
    alpha, p = 0.05, 0.8
    nums = np.arange(1, LOOKS + 1)
    least = stats.binom.isf(alpha, nums, p) + 1  # the count from which on Clopper and Pearson's bound exceeds p
    assert all(clopper_pearson_lower(int(least[n - 1]), n, alpha) > p for n in (50, 777, LOOKS) if least[n - 1] <= n)
    assert num_runs_ever_above(least, p) > 2 * most_allowed(alpha)


@pytest.mark.parametrize("p", PROBABILITIES)
def test_the_fixed_bound_at_its_one_look_exceeds_p_in_at_most_a_share_alpha_of_runs(p):
    alpha, n = 0.05, 1000
    counts = np.random.default_rng(1).binomial(n, p, size=RUNS)
    bounds = {int(count): clopper_pearson_lower(int(count), n, alpha) for count in np.unique(counts)}
    assert sum(bounds[int(count)] > p for count in counts) <= most_allowed(alpha)


def tallies(counts_a, counts_b, nums):
    arrays = (np.array(values, dtype=np.int64) for values in (counts_a, counts_b, nums))
    return Tallies(**dict(zip(("counts_a_M", "counts_b_M", "nums_M"), arrays, strict=True)))


def run(rule, probabilities, *, rng, sigma=0.5, alpha=0.001):
    """The number of draws, and the proof, for class 0 of an image whose classes have these probabilities."""
    votes, radius, size = VoteCounts(), None, 0
    while True:
        num = rule.num_wanted(size)
        classes = rng.choice(len(probabilities), size=num, p=probabilities)
        counts_a, counts_b = votes.running(0, classes)
        seen = tallies(counts_a, counts_b, size + np.arange(1, num + 1))
        look = rule.look(seen, radius=radius, sigma=sigma, alpha=alpha)
        radius = look.radius
        if look.end is not None:
            tally = Tally(count_a=counts_a[look.end], count_b=counts_b[look.end], n=size + look.end + 1)
            return tally.n, rule.prove(tally, radius=radius, sigma=sigma, alpha=alpha)
        votes.add(classes)
        size += num


@pytest.mark.parametrize(
    ("p_a", "p_b", "radius", "most"),
    [
        (0.8, 0.05, 0.4, 200),
        (0.9, 0.03, 0.5, 160),
        (0.6, 0.1, 0.25, 390),
        (0.97, 0.03, 0.5, 105),
        (0.99, 0.005, 0.5, 68),
    ],
)
def test_half_of_the_runs_certify_within_a_third_more_draws_than_any_test_needs(p_a, p_b, radius, most):
    """Any test needs 152, 123, 298, 78 and 47 draws on average: `benchmarks.stopping` computes this bound."""
    alternative = Boundary(p_a, p_b, 10 if p_a + p_b < 0.999 else 2)
    greatest = greatest_wealth(alternative, gap=gap_of(radius, 0.5), runs=2000, max_n=most)
    assert (greatest >= math.log(1000)).mean() > 0.5


def test_deciding_radius_one_half_on_imagenet_takes_few_draws():
    """The log gives p_A only, so the runner-up has all the rest."""
    p_as = [float(ndtr(row.radius / 0.5)) for row in read_log(LOG)][::5]
    rng = np.random.default_rng(3)
    num_draws = [run(AtRadius(0.5), [p_a, 1 - p_a], rng=rng)[0] for p_a in p_as]
    assert np.median(num_draws) <= 100 and np.mean(num_draws) <= 2000


def looked(rule, counts_a, counts_b, nums, *, radius=None, alpha=0.001):
    return rule.look(tallies(counts_a, counts_b, nums), radius=radius, sigma=0.5, alpha=alpha)


def proved(rule, count_a, count_b, n, *, alpha=0.001):
    radius = looked(rule, [count_a], [count_b], [n], alpha=alpha).radius
    return rule.prove(Tally(count_a=count_a, count_b=count_b, n=n), radius=radius, sigma=0.5, alpha=alpha)


@pytest.mark.parametrize(
    ("radius", "alpha", "first"),
    [(0.0, 0.001, 12), (0.25, 0.001, 25), (0.5, 0.001, 55), (1.0, 0.001, 416), (0.5, 0.05, 28), (0.5, 1e-6, 99)],
)
def test_at_radius_certifies_unanimous_draws_at_exactly_this_draw(radius, alpha, first):
    """A weaker threshold, such as log(0.5 / alpha), keeps alpha in simulations. It is noticed here."""
    nums = np.arange(1, 501)
    look = looked(AtRadius(radius), nums, np.zeros_like(nums), nums, alpha=alpha)
    assert (look.end + 1, look.radius) == (first, radius)


@pytest.mark.parametrize(
    ("count_a", "count_b", "n", "rung"),
    [(16, 0, 16, 2), (64, 0, 64, 95), (1000, 0, 1000, 225), (120, 20, 200, 34), (8192, 512, 10_240, 116)],
)
def test_anytime_proves_exactly_this_many_hundredths_of_sigma(count_a, count_b, n, rung):
    assert looked(Anytime(), [count_a], [count_b], [n]).radius == pytest.approx(0.5 * rung / 100, rel=1e-12)


def test_a_fixed_sample_wants_the_rest_of_its_draws_and_ends_with_them():
    rule = FixedSample(100)
    assert (rule.num_wanted(0), rule.num_wanted(40), rule.max_n) == (100, 60, 100)
    assert looked(rule, [90, 91], [9, 9], [99, 100]).end == 1
    assert looked(rule, [89, 90], [9, 9], [98, 99]).end is None


def test_a_fixed_sample_gives_its_bound_at_its_end_only():
    proof = proved(FixedSample(100), 90, 10, 100, alpha=0.01)
    assert proof.p_a_lower == clopper_pearson_lower(90, 100, 0.01)
    assert proof.radius == certified_radius(proof.p_a_lower, 0.5)
    with pytest.raises(CertificationError, match="only after 100 draws, not after 99"):
        proved(FixedSample(100), 90, 9, 99)


def test_the_simultaneous_bound_certifies_a_class_below_one_half_and_abstains_from_a_tie():
    rule = FixedSample(1000, bound="simultaneous")
    plural = proved(rule, 450, 100, 1000)
    assert plural.p_a_lower < 0.5 and 0.2 < plural.radius < 0.5 / 2 * (stats.norm.ppf(0.45) - stats.norm.ppf(0.1))
    assert proved(rule, 450, 440, 1000).radius is None
    assert proved(FixedSample(1000), 450, 100, 1000).radius is None


def test_the_simultaneous_bound_of_a_near_certain_class_is_that_at_half_of_alpha():
    proof = proved(FixedSample(1000, bound="simultaneous"), 999, 1, 1000)
    half = certified_radius(clopper_pearson_lower(999, 1000, 0.0005), 0.5)
    assert half * (1 - 1e-12) <= proof.radius <= half * (1 + 1e-12)


def test_at_radius_claims_just_the_radius_asked_and_bounds_no_probability():
    proof = proved(AtRadius(0.4), 900, 20, 1000)
    assert (proof.radius, proof.p_a_lower, proof.p_b_upper) == (0.4, None, None)
    assert proved(AtRadius(0.4), 700, 300, 1000).radius is None


def test_at_radius_certifies_a_class_below_one_half():
    assert proved(AtRadius(0.25), 450, 60, 1000).radius == 0.25
    assert proved(AtRadius(0.25), 450, 440, 1000).radius is None


def test_at_radius_ends_undecided_at_its_cap():
    nums = np.arange(1, 56)  # 55 votes of 55 would certify
    look = looked(AtRadius(0.5, max_n=55), np.minimum(nums, 54), nums == 55, nums)
    assert (look.end, look.radius) == (54, None)


def test_at_radius_zero_asks_whether_the_class_leads():
    assert proved(AtRadius(0.0), 100, 0, 100).radius == 0.0
    assert proved(AtRadius(0.0), 450, 300, 1000).radius == 0.0
    assert proved(AtRadius(0.0), 40, 60, 100).radius is None


def test_at_radius_gives_up_a_hopeless_image_early_and_no_image_that_it_can_certify():
    rng = np.random.default_rng(5)
    assert max(run(AtRadius(0.5), [0.2, 0.6, 0.2], rng=rng)[0] for _ in range(50)) <= 64
    narrow = [run(AtRadius(0.5, max_n=20_000), [0.87, 0.13], rng=rng) for _ in range(50)]  # needed: 0.841
    assert sum(proof.radius is None for _, proof in narrow) <= 1


@pytest.mark.parametrize(("radius", "n0"), [(0.0, 100), (0.1, 100), (0.2, 75), (0.25, 48), (0.5, 16), (2.0, 16)])
def test_the_larger_the_radius_the_fewer_draws_select_the_class(radius, n0):
    assert AtRadius(radius).usual_n0(sigma=0.5) == n0
    assert FixedSample(10).usual_n0(sigma=0.5) == Anytime().usual_n0(sigma=0.5) == 100


def test_anytime_without_tolerance_ends_with_the_radius_of_a_fixed_sample_or_more():
    rng, rule = np.random.default_rng(6), Anytime(10_000, 0.0)
    for probabilities in ([0.999, 0.001], [0.9, 0.1], [0.7, 0.3]):
        n, proof = run(rule, probabilities, rng=rng)
        fixed = certified_radius(clopper_pearson_lower(round(10_000 * probabilities[0]), 10_000, 0.001), 0.5)
        assert n == 10_000 and proof.radius > 0.93 * fixed and proof.p_a_lower is not None


def test_anytime_spends_a_tenth_of_alpha_before_its_last_draw_and_the_rest_there():
    rule = Anytime(1000, 0.0)
    assert proved(rule, 990, 10, 1000).p_a_lower == clopper_pearson_lower(990, 1000, 0.9 * 0.001)
    assert proved(rule, 980, 10, 990).p_a_lower is None
    first_rung = looked(Anytime(), [15], [0], [16], alpha=0.001).radius
    assert first_rung is None and looked(Anytime(), [15], [0], [16], alpha=0.1).radius is not None


def test_anytime_uses_the_runner_up_where_no_bound_on_p_a_exceeds_one_half():
    proof = proved(Anytime(1000, 0.0), 450, 60, 1000)
    assert proof.p_a_lower is None and proof.radius > 0.24


def test_an_anytime_rule_keeps_the_largest_radius_that_it_has_seen():
    rule = Anytime(8000, 0.0)
    high, low = (looked(rule, [count], [160 - count], [160]).radius for count in (160, 120))
    assert low < high <= looked(rule, [160, 200], [0, 40], [160, 240]).radius
    assert looked(rule, [120], [40], [160], radius=high).radius == high


def test_an_easy_image_ends_early_and_so_does_a_hopeless_one():
    rng = np.random.default_rng(4)
    n_easy, proof = run(Anytime(100_000, 0.3), [0.99999, 0.00001], rng=rng)
    assert proof.radius > 1 and n_easy < 60_000
    n_hopeless, proof = run(Anytime(100_000, 0.1), [0.01, 0.99], rng=rng)
    assert proof.radius is None and n_hopeless < 100


@pytest.mark.parametrize("rule", [AtRadius(0.3, max_n=3000), Anytime(3000, 0.05)])
@pytest.mark.parametrize("seed", range(3))
def test_the_outcome_does_not_depend_on_how_the_draws_are_divided_into_looks(rule, seed):
    rng = np.random.default_rng(seed)
    classes = rng.choice(3, size=3000, p=[0.75, 0.15, 0.1])
    counts_a, counts_b = VoteCounts().running(0, classes)
    nums = np.arange(1, 3001)
    whole = looked(rule, counts_a, counts_b, nums)
    cuts, radius, start = [*np.sort(rng.integers(1, 3000, 40)).tolist(), 3000], None, 0
    for cut in cuts:
        part = looked(rule, counts_a[start:cut], counts_b[start:cut], nums[start:cut], radius=radius)
        if part.end is not None:
            assert (start + part.end, part.radius) == (whole.end, whole.radius)
            return
        radius, start = part.radius, cut
    raise AssertionError("the rule did not end")


@pytest.mark.parametrize("rule", [AtRadius(0.5), Anytime()])
def test_adaptive_rules_ask_for_few_draws_at_first_and_never_for_more_than_are_left(rule):
    assert rule.num_wanted(0) == 16 and rule.num_wanted(1000) == 250
    assert rule.num_wanted(rule.max_n - 3) == 3


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: FixedSample(0), "n must be at least 1, got 0"),
        (lambda: FixedSample(1e3), "n must be an integer"),
        (lambda: FixedSample(10, bound="hoeffding"), "clopper-pearson or simultaneous, got 'hoeffding'"),
        (lambda: AtRadius(-0.1), "radius must be finite and at least 0, got -0.1"),
        (lambda: AtRadius(math.nan), "radius must be finite"),
        (lambda: AtRadius(0.5, max_n=True), "max_n must be an integer"),
        (lambda: Anytime(True), "max_n must be an integer"),
        (lambda: Anytime(1000, "0.1"), "tolerance must be a number"),
        (lambda: Anytime(1000, -1), "tolerance must be finite and at least 0, got -1"),
        (lambda: Anytime(1000, math.inf), "tolerance"),
        (lambda: AtRadius(1.9).require_possible(sigma=0.5, alpha=0.001), "radius 1.9 can never be certified"),
        (lambda: AtRadius(50).require_possible(sigma=0.5, alpha=0.001), "radius 50 can never be certified"),
        (lambda: Anytime(10).require_possible(sigma=0.5, alpha=0.001), "the least n is 11"),
        (lambda: FixedSample(10, "simultaneous").require_possible(sigma=0.5, alpha=0.001), "the least n is 11"),
    ],
)
def test_what_makes_no_rule_or_can_never_certify_is_refused(make, said):
    with pytest.raises(CertificationError, match=said):
        make()


def every(period, num):
    """Votes of which each `period`th is for the runner-up; none if the period is None."""
    nums = np.arange(1, num + 1)
    counts_b = np.zeros_like(nums) if period is None else nums // period
    return nums - counts_b, counts_b, nums


@pytest.mark.parametrize(
    ("max_n", "tolerance", "period", "end", "rung"),
    [
        (1000, 0.05, 10, 1000, 100),
        (1000, 0.05, 2, 80, None),
        (1000, 0.2, None, 640, 207),
        (1000, 0.2, 10, 320, 83),
        (1000, 0.2, 3, 240, 2),
        (1000, 0.2, 2, 20, None),
        (100, 0.0, 3, 100, None),
        (3000, 0.4, 10, 144, 63),
        (3000, 0.4, 2, 8, None),
    ],
)
def test_anytime_ends_at_exactly_this_draw_with_this_radius(max_n, tolerance, period, end, rung):
    look = looked(Anytime(max_n, tolerance), *every(period, max_n))
    assert look.end + 1 == end
    assert look.radius == (None if rung is None else pytest.approx(0.5 * rung / 100, rel=1e-12))
    assert look.radius is None or look.radius < 0.5 * rung / 100


@pytest.mark.parametrize(
    ("radius", "period", "end", "certifies"),
    [(0.5, 10, 738, True), (0.5, 6, 240, False), (0.5, 4, 80, False), (0.3, 10, 96, True), (0.3, 6, 317, True),
     (0.3, 4, 448, False), (0.3, 3, 144, False), (0.3, 2, 36, False)],
)  # fmt: skip
def test_at_radius_certifies_or_gives_up_at_exactly_this_draw(radius, period, end, certifies):
    look = looked(AtRadius(radius, max_n=1000), *every(period, 1000))
    assert (look.end + 1, look.radius) == (end, radius if certifies else None)


def test_looks_become_as_rare_as_their_schedule_says():
    looks = np.flatnonzero(is_scheduled(np.arange(1, 200), per_octave=8)) + 1
    expected = [*range(1, 17), *range(18, 33, 2), *range(36, 65, 4), *range(72, 129, 8), 144, 160, 176, 192]
    assert looks.tolist() == expected
    assert is_scheduled(np.arange(1, 100_001), per_octave=64).sum() == 737


def test_a_forecast_is_at_the_favourable_ends_of_both_bounds():
    forecast_a, forecast_b = favourable_votes(
        tallies([100, 50, 0, 60, 60], [0, 30, 90, 10, 0], [100, 100, 100, 80, 100]), max_n=1000, level=1e-4
    )
    p_a = [
        1.0,
        stats.beta.isf(1e-4, 51, 50),
        stats.beta.isf(1e-4, 1, 100),
        stats.beta.isf(1e-4, 61, 20),
        stats.beta.isf(1e-4, 61, 40),
    ]
    p_b = [0.0, stats.beta.ppf(1e-4, 30, 71), stats.beta.ppf(1e-4, 90, 11), stats.beta.ppf(1e-4, 10, 71), 0.0]
    remaining = [900, 900, 900, 920, 900]
    expected_a = [a + num * p for a, num, p in zip((100, 50, 0, 60, 60), remaining, p_a, strict=True)]
    expected_b = [b + num * p for b, num, p in zip((0, 30, 90, 10, 0), remaining, p_b, strict=True)]
    assert forecast_a == pytest.approx(expected_a, rel=1e-9) and forecast_b == pytest.approx(expected_b, rel=1e-9)


def test_the_simultaneous_bound_gives_half_of_alpha_to_each_class_and_the_runner_up_at_most_the_rest():
    proof = proved(FixedSample(1000, bound="simultaneous"), 450, 100, 1000)
    assert proof.p_a_lower == clopper_pearson_lower(450, 1000, 0.0005)
    assert proof.p_b_upper == clopper_pearson_upper(100, 1000, 0.0005)
    assert proof.radius == certified_radius(proof.p_a_lower, 0.5, p_b_upper=proof.p_b_upper)
    proof = proved(FixedSample(1000, bound="simultaneous"), 999, 1, 1000)
    assert proof.p_b_upper == pytest.approx(1 - proof.p_a_lower, rel=1e-12)


def test_a_rule_that_can_just_certify_is_accepted():
    FixedSample(10).require_possible(sigma=0.5, alpha=0.001)
    FixedSample(11, "simultaneous").require_possible(sigma=0.5, alpha=0.001)
    Anytime(11).require_possible(sigma=0.5, alpha=0.001)
    AtRadius(0.5, max_n=55).require_possible(sigma=0.5, alpha=0.001)  # 55 unanimous votes certify: see above
    with pytest.raises(CertificationError, match="can never be certified"):
        AtRadius(0.5, max_n=54).require_possible(sigma=0.5, alpha=0.001)


def test_a_gap_of_9_can_be_certified_with_enough_draws():
    AtRadius(2.25, max_n=10**8).require_possible(sigma=0.5, alpha=0.001)  # p_A of at least 1 - 3.4e-6


def test_a_bound_of_exactly_one_half_proves_nothing():
    assert one_sided_proof(0.5, 0.5) == Proof(p_a_lower=0.5, radius=None)


def test_a_rule_with_another_cap_differs_in_nothing_else():
    assert AtRadius(0.3).with_max_n(700) == AtRadius(0.3, max_n=700)
    assert Anytime(tolerance=0.1).with_max_n(700) == Anytime(700, 0.1)
    assert FixedSample(100, "simultaneous").with_max_n(700) == FixedSample(700, "simultaneous")
    assert (AtRadius(0.3).max_n, Anytime().max_n, Anytime().tolerance) == (100_000, 100_000, 0.05)
    assert (AtRadius(0.3).radius_asked, Anytime().radius_asked, FixedSample(10).radius_asked) == (0.3, None, None)


def test_anytime_prefers_the_larger_of_both_radii_at_its_end():
    rule, tally = Anytime(1000, 0.0), Tally(count_a=990, count_b=10, n=1000)
    last = certified_radius(clopper_pearson_lower(990, 1000, 0.9 * 0.001), 0.5)
    for radius, expected, is_last in (
        (None, last, True),
        (last / 2, last, True),
        (last, last, False),
        (2 * last, 2 * last, False),
    ):
        proof = rule.prove(tally, radius=radius, sigma=0.5, alpha=0.001)
        assert proof.radius == expected and (proof.p_a_lower is not None) == is_last
    few = Tally(count_a=400, count_b=300, n=1000)
    assert rule.prove(few, radius=None, sigma=0.5, alpha=0.001).radius is None


def test_numbers_of_numpy_become_plain_numbers():
    rules = (
        AtRadius(np.float32(0.25), max_n=np.int64(10)),
        Anytime(np.int64(10), np.float32(0.5)),
        FixedSample(np.int64(9)),
    )
    numbers = [value for rule in rules for value in (rule.max_n, rule.radius_asked) if value is not None]
    assert [type(value) for value in (*numbers, rules[1].tolerance)] == [int, float, int, int, float]


def test_anytime_ends_at_max_n_also_where_no_look_is_scheduled():
    assert looked(Anytime(129, 0.0), *every(None, 129)).end + 1 == 129
    assert not is_scheduled(np.array([129]), per_octave=64)[0]


def test_two_thousand_million_votes_prove_five_and_a_half_sigma():
    assert 550 < _climb(540, tallies([2**31 - 1], [0], [2**31 - 1]), alpha=0.001) < 600


def test_looks_that_are_evaluated_together_climb_as_looks_one_by_one_do():
    """Looks at a lead that grows so slowly that some prove rung 0 alone, then at one that proves many rungs at once."""
    nums = np.array([*range(1000, 2000, 20), 4000, 4001, 4002])
    looks = tallies(np.rint(0.51 * nums + (nums - 1000) / 20).astype(int), nums * 2 // 5, nums)
    rung, one_by_one = -1, []
    for index in range(len(nums)):
        rung = _climb(rung, looks.at(np.array([index])), alpha=0.001)
        one_by_one.append(rung)
    assert list(_rungs(-1, looks, alpha=0.001)) == one_by_one
    assert {-1, 0, 1} <= set(one_by_one) and one_by_one[-3] - one_by_one[-4] == 5


def test_a_lead_that_is_just_proved_is_radius_zero():
    radii = [proved_by_sequence(Tally(count_a=a, count_b=300, n=1000), sigma=0.5, alpha=0.001) for a in range(400, 460)]
    assert {None, 0.0} < set(radii)
    rungs = [-1 if radius is None else round(radius / 0.005) for radius in radii]
    assert rungs == sorted(rungs) and set(rungs) == set(range(-1, max(rungs) + 1))


def highest_radius(votes_a, votes_b, n, *, alpha):
    """The largest radius in steps of 0.005 that is proved with all smaller ones, 0 if none is."""
    rung = 0
    while log_wealth(np.array([votes_a]), np.array([votes_b]), np.array([n]), gap=0.02 * rung)[0] >= math.log(
        1 / alpha
    ):
        rung += 1
    return max(0, rung - 1) * 0.005


@pytest.mark.parametrize(
    ("a", "b", "n", "rung"),
    [
        (120, 20, 200, 30),
        (120, 20, 200, -1),
        (110, 10, 200, -1),
        (115, 12, 200, -1),
        (130, 8, 200, -1),
        (125, 15, 200, -1),
        (190, 10, 200, 50),
        (8, 32, 40, -1),
        (20, 20, 40, -1),
    ],
)
def test_a_forecast_is_the_larger_of_both_radii_less_the_radius_so_far(a, b, n, rung):
    (votes_a,), (votes_b,) = favourable_votes(tallies([a], [b], [n]), max_n=1000, level=0.05)
    bound = clopper_pearson_lower(int(votes_a), 1000, 0.9 * 0.001)
    at_last_look = certified_radius(bound, 0.5) if bound > 0.5 else 0.0
    by_bets = highest_radius(votes_a, votes_b, 1000, alpha=0.1 * 0.001)
    gain = Anytime(1000, 0.05)._forecast_gain(rung, tallies([a], [b], [n]), sigma=0.5, alpha=0.001)
    assert gain == pytest.approx(max(at_last_look, by_bets) - max(0, rung) * 0.005, abs=1e-9)
