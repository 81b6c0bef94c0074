"""Every rule ends when it says, keeps its level however it is looked at, and needs hardly more draws than any could."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.special import ndtr

from zoo.errors import CertificationError
from zoo.results.log import read_log
from zoo.smoothing.bounds import clopper_pearson_lower
from zoo.smoothing.confidence_sequence import log_wealth_above, mixture_lower
from zoo.smoothing.radius import certified_radius, probability_at
from zoo.smoothing.stopping import Anytime, AtRadius, FixedSample, Tally

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
@pytest.mark.parametrize("p", PROBABILITIES)
def test_the_anytime_bound_ever_exceeds_p_in_at_most_a_share_alpha_of_runs(p):
    alpha = 0.05
    wrong = num_runs_ever_above(least_count_above(lambda counts, nums: mixture_lower(counts, nums, alpha), p), p)
    assert wrong <= most_allowed(alpha)
    assert wrong > 0 or p == 0.9999, "the bound is so loose that the test could not fail"


@pytest.mark.slow
@pytest.mark.parametrize("p", PROBABILITIES)
def test_a_radius_just_out_of_reach_is_certified_in_at_most_a_share_alpha_of_runs(p):
    alpha, sigma = 0.05, 0.5
    asked = probability_at(certified_radius(p, sigma), sigma)
    assert asked == pytest.approx(p, abs=1e-12)

    def lower(counts, nums):  # above p where p is refuted
        return np.where((counts > nums * p) & (log_wealth_above(counts, nums, asked) >= math.log(1 / alpha)), 1.0, 0.0)

    wrong = num_runs_ever_above(least_count_above(lower, p), p)
    assert wrong <= most_allowed(alpha)
    assert wrong > 0 or p == 0.9999


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


def kullback_leibler(p, q):
    return p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))


def draws_to_decide(rule, p, *, sigma, alpha, rng):
    """How many draws, and whether certified, for a class of probability p."""
    size = 64
    while True:
        size = min(size * 4, rule.max_n)
        state = rng.bit_generator.state
        counts, nums = np.cumsum(rng.random(size) < p), np.arange(1, size + 1)
        look = rule.look(counts, nums, p_a_lower=0.0, sigma=sigma, alpha=alpha)
        if look.end is not None:
            return look.end + 1, look.p_a_lower > 0.5
        rng.bit_generator.state = state  # the same draws again, and more


@pytest.mark.parametrize("p", [0.87, 0.9, 0.95, 0.98, 0.99, 0.999])
def test_deciding_a_radius_takes_at_most_1_75_times_walds_bound(p):
    sigma, alpha, rng = 0.5, 0.001, np.random.default_rng(2)
    decided = [draws_to_decide(AtRadius(sigma), p, sigma=sigma, alpha=alpha, rng=rng) for _ in range(400)]
    wald = math.log(1 / alpha) / kullback_leibler(p, float(ndtr(1.0)))
    assert all(certified for _, certified in decided)
    assert np.mean([n for n, _ in decided]) <= 1.75 * wald


def test_deciding_radius_one_half_on_imagenet_takes_few_draws():
    radii = [row.radius for row in read_log(LOG)]
    sigma, rng = 0.5, np.random.default_rng(3)
    num_draws = [
        draws_to_decide(AtRadius(0.5), float(ndtr(radius / sigma)), sigma=sigma, alpha=0.001, rng=rng)[0]
        for radius in radii
    ]
    assert len(num_draws) == 500
    assert np.median(num_draws) <= 100 and np.mean(num_draws) <= 2000


def looked(rule, counts, nums, *, p_a_lower=0.0, alpha=0.001):
    return rule.look(np.array(counts), np.array(nums), p_a_lower=p_a_lower, sigma=0.5, alpha=alpha)


def proved(rule, count_a, count_b, n, *, alpha=0.001):
    tally = Tally(count_a=count_a, count_b=count_b, n=n)
    p_a_lower = looked(rule, [count_a], [n], alpha=alpha).p_a_lower
    return rule.prove(tally, p_a_lower=p_a_lower, sigma=0.5, alpha=alpha)


def test_a_fixed_sample_wants_the_rest_of_its_draws_and_ends_with_them():
    rule = FixedSample(100)
    assert (rule.num_wanted(0), rule.num_wanted(40), rule.max_n) == (100, 60, 100)
    assert looked(rule, [90, 91], [99, 100]).end == 1
    assert looked(rule, [89, 90], [98, 99]).end is None


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


def test_at_radius_claims_just_the_radius_asked():
    certified = proved(AtRadius(0.4), 1000, 0, 1000)
    assert certified.radius == 0.4 and certified_radius(certified.p_a_lower, 0.5) >= 0.4
    assert proved(AtRadius(0.4), 700, 300, 1000).radius is None


@pytest.mark.parametrize("radius", [0.0, 0.4])
def test_at_radius_certifies_by_a_bound_that_reaches_its_radius_and_by_no_smaller_one(radius):
    rule, needed = AtRadius(radius), probability_at(radius, 0.5)
    tally = Tally(count_a=90, count_b=10, n=100)
    assert rule.prove(tally, p_a_lower=needed, sigma=0.5, alpha=0.001).radius == radius
    assert rule.prove(tally, p_a_lower=math.nextafter(needed, 0), sigma=0.5, alpha=0.001).radius is None
    assert rule.prove(tally, p_a_lower=0.1, sigma=0.5, alpha=0.001).radius is None


def test_at_radius_ends_undecided_at_its_cap():
    nums = np.arange(1, 51)
    look = looked(AtRadius(0.5, max_n=50), np.floor(nums * 0.85), nums)
    assert (look.end, look.p_a_lower) == (49, 0.0)


def test_at_radius_zero_asks_whether_the_class_has_a_majority():
    assert proved(AtRadius(0.0), 100, 0, 100).radius == 0.0
    assert proved(AtRadius(0.0), 40, 60, 100).radius is None


@given(st.integers(1, 499), st.data(), st.sampled_from([0.001, 0.05]))
def test_an_anytime_rule_ends_just_when_the_remaining_draws_could_add_less_than_its_tolerance(look, data, alpha):
    n, rule = 16 * look, Anytime(8000, 0.1)
    count = data.draw(st.integers(0, n))
    now = proved(rule, count, n - count, n, alpha=alpha).radius or 0.0
    best = proved(rule, count + 8000 - n, n - count, 8000, alpha=alpha).radius or 0.0
    assert looked(rule, [count], [n], alpha=alpha).end == (0 if best - now < 0.1 else None)


def test_an_anytime_rule_keeps_the_best_bound_that_it_has_seen():
    rule = Anytime(8000, 0.1)
    high, low = (looked(rule, [count], [160]).p_a_lower for count in (160, 120))
    assert low < high == looked(rule, [160, 200], [160, 240]).p_a_lower
    assert looked(rule, [120], [160], p_a_lower=high).p_a_lower == high


def test_an_easy_image_ends_early_and_so_does_a_hopeless_one():
    rule, rng = Anytime(100_000, 0.1), np.random.default_rng(4)
    n_easy, certified = draws_to_decide(rule, 0.99999, sigma=0.5, alpha=0.001, rng=rng)
    assert certified and n_easy < 60_000
    n_hopeless, certified = draws_to_decide(rule, 0.01, sigma=0.5, alpha=0.001, rng=rng)
    assert not certified and n_hopeless < 60_000


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
        (lambda: Anytime(1000, -1), "tolerance must be finite and at least 0, got -1"),
        (lambda: Anytime(1000, math.inf), "tolerance"),
        (lambda: AtRadius(1.9).require_possible(sigma=0.5, alpha=0.001), "radius 1.9 can never be certified"),
        (lambda: AtRadius(50).require_possible(sigma=0.5, alpha=0.001), "radius 50 can never be certified"),
        (lambda: Anytime(11).require_possible(sigma=0.5, alpha=0.001), "the least n is 12"),
        (lambda: FixedSample(10, "simultaneous").require_possible(sigma=0.5, alpha=0.001), "the least n is 11"),
    ],
)
def test_what_makes_no_rule_or_can_never_certify_is_refused(make, said):
    with pytest.raises(CertificationError, match=said):
        make()
