"""The radius equals the published ones, is never rounded up, and no nonsense can be asked for."""

import csv
import math
from dataclasses import replace
from pathlib import Path

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoo.errors import CertificationError
from zoo.smoothing import Anytime, AtRadius, Certificate, FixedSample, SmoothingSpec
from zoo.smoothing.bounds import clopper_pearson_lower
from zoo.smoothing.certificate import certified_radius, conclude
from zoo.smoothing.stopping import Tally
from zoo.smoothing.vote_counts import VoteCounts

# Radii that published certification logs hold, each with the one count that gives it (the ImageNet ResNet-50 logs of
# Salman et al. 2019 and of Jeong and Shin 2020).
VECTORS = Path(__file__).with_name("count_radius_vectors.tsv")


def concluded(label, count_a, spec):
    return conclude(label, VoteCounts({label: count_a, label + 1: spec.n - count_a}), spec, alpha=spec.alpha)


def test_published_radii_are_reproduced():
    with VECTORS.open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert len(rows) == 30
    for row in rows:
        bound = clopper_pearson_lower(int(row["nA"]), int(row["N"]), float(row["alpha"]))
        assert certified_radius(bound, float(row["sigma"])) == pytest.approx(float(row["radius_exact"]), abs=1e-9)


def test_the_ceiling_of_the_radius_at_100_000_draws_is_the_known_one():
    assert certified_radius(clopper_pearson_lower(100_000, 100_000, 0.001), 1.0) == pytest.approx(3.8115, abs=5e-5)


@given(st.floats(0.5000001, 0.9999999), st.floats(0.01, 10))
def test_the_radius_is_never_above_the_exact_one(p_a_lower, sigma):
    with mpmath.workdps(50):
        exact = mpmath.mpf(sigma) * mpmath.sqrt(2) * mpmath.erfinv(2 * mpmath.mpf(p_a_lower) - 1)
        radius = certified_radius(p_a_lower, sigma)
        assert radius <= exact
        assert radius >= exact * (1 - mpmath.mpf(1e-9)) - mpmath.mpf(1e-15)


@pytest.mark.parametrize("p_a_lower", [0.5, 0.0, 1.0, math.nan, 1.5])
def test_a_probability_that_certifies_nothing_is_refused(p_a_lower):
    with pytest.raises(CertificationError, match="p_a_lower"):
        certified_radius(p_a_lower, 0.5)


def test_specifications_are_equal_however_their_numbers_were_given():
    assert SmoothingSpec(sigma=0.5, n=1000) == SmoothingSpec(sigma=0.5, n0=100, stopping=FixedSample(1000))


def test_a_certificate_is_of_the_fixed_sample_with_gaussian_noise_unless_it_says_so():
    numbers = {"radius": 0.0, "p_a_lower": None, "count_a": 0, "count_b": 0, "sigma": 0.5, "n0": 1, "n": 1}
    made = Certificate(label=None, alpha=0.001, **numbers)
    names = (made.stopping, made.bound, made.noise, made.norm, made.input, made.backend)
    assert made.abstained and names == ("fixed", "clopper-pearson", "gaussian", "l2", "", "")


def test_the_label_is_withheld_below_the_fewest_agreeing_draws():
    spec = SmoothingSpec(sigma=0.5, n=1000)
    certified, abstained = concluded(3, 550, spec), concluded(3, 549, spec)
    assert certified.label == 3 and certified.radius > 0
    assert abstained.label is None and abstained.abstained and abstained.radius == 0.0 and abstained.count_a == 549


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"sigma": -0.1}, "sigma"),
        ({"sigma": math.nan}, "sigma"),
        ({"sigma": math.inf}, "sigma"),
        ({"sigma": 0.5, "alpha": 0.0}, "alpha"),
        ({"sigma": 0.5, "alpha": 1.0}, "alpha"),
        ({"sigma": 0.5, "alpha": 1e-101}, "alpha must be at least 1e-100"),
        ({"sigma": 1e-9}, "absorb the noise"),
        ({"sigma": 0.5, "n": 1e3}, "n must be an integer"),
        ({"sigma": 0.5, "n": True}, "n must be an integer"),
        ({"sigma": 0.5, "n0": 0}, "n0"),
        ({"sigma": "0.5"}, "sigma must be a number, got '0.5'"),
        ({"sigma": 1e9}, "sigma must be at most 100"),
        ({"sigma": 0.5, "alpha": None}, "alpha must be a number, got None"),
        ({"sigma": 0.5, "stopping": "fixed"}, "must be a stopping rule"),
        ({"sigma": 0.5, "n": 10**12}, "n must be at most 2147483647"),
        ({"sigma": 0.5, "noise": "uniform"}, "noise must be gaussian or discrete"),
        ({"sigma": 0.5, "n": 10, "stopping": AtRadius(0.1)}, "give only one of them"),
        ({"sigma": 0.0, "stopping": AtRadius(0.1)}, "can never be certified at sigma 0"),
        ({"sigma": 0.5, "n": 9}, "the least n is 10"),
    ],
)
def test_a_spec_cannot_hold_nonsense(fields, said):
    with pytest.raises(CertificationError, match=said):
        SmoothingSpec(**fields)


def test_a_level_next_to_one_still_gives_a_finite_radius():
    certificate = concluded(0, 1000, SmoothingSpec(sigma=0.5, n=1000, alpha=0.9999999999999999))
    assert 0 < certificate.radius < 5


def test_sigma_zero_is_the_clean_classifier():
    spec = SmoothingSpec(sigma=0.0)
    assert (spec.n0, spec.n) == (0, 1)
    certificate = concluded(2, 1, spec)
    assert (certificate.label, certificate.radius) == (2, 0.0)


def test_numbers_of_numpys_float32_do_not_lower_the_precision_of_a_bound():
    spec = SmoothingSpec(sigma=np.float32(0.12), alpha=np.float32(0.001), n=np.int64(1000))
    assert (type(spec.sigma), type(spec.alpha), type(spec.n)) == (float, float, int)
    for count in range(900, 1000):
        bound = clopper_pearson_lower(count, 1000, np.float32(0.001))
        assert bound == clopper_pearson_lower(count, 1000, float(np.float32(0.001)))
        assert certified_radius(bound, np.float32(0.12)) == certified_radius(bound, float(np.float32(0.12)))


@pytest.mark.parametrize(
    ("spec", "changes", "expected"),
    [
        (SmoothingSpec(sigma=0.5), {"n": 500}, FixedSample(500)),
        (SmoothingSpec(sigma=0.5, n=1000), {"alpha": 0.01}, FixedSample(1000)),
        (SmoothingSpec(sigma=0.5, n=1000), {"stopping": AtRadius(0.25)}, AtRadius(0.25)),
        (SmoothingSpec(sigma=0.5, n=1000), {"stopping": Anytime(5000), "n": 5000}, Anytime(5000)),
        (SmoothingSpec(sigma=0.5, stopping=AtRadius(0.25)), {"n": 700}, AtRadius(0.25, max_n=700)),
        (SmoothingSpec(sigma=0.5, stopping=Anytime(tolerance=0.1)), {"n": 700}, Anytime(700, tolerance=0.1)),
        (
            SmoothingSpec(sigma=0.5, stopping=FixedSample(900, bound="simultaneous")),
            {"n": 700},
            FixedSample(700, bound="simultaneous"),
        ),
        (SmoothingSpec(sigma=0.5, stopping=AtRadius(0.25, max_n=700)), {"stopping": None}, FixedSample(700)),
        (SmoothingSpec(sigma=0.5, stopping=AtRadius(0.25, max_n=700)), {"n": None}, AtRadius(0.25, max_n=700)),
        (SmoothingSpec(sigma=0.5, n=1000), {"sigma": 0.0}, FixedSample(1)),
    ],
)
def test_a_variant_of_a_spec_is_what_the_changed_fields_say(spec, changes, expected):
    variant = replace(spec, **changes)
    assert variant.stopping == expected and variant.n == expected.max_n
    kept = {"sigma", "alpha", "noise"} - set(changes)
    assert all(getattr(variant, name) == getattr(spec, name) for name in kept)
    if variant.sigma > 0:
        fresh = SmoothingSpec(sigma=variant.sigma, alpha=variant.alpha, stopping=expected)
        assert variant == fresh and hash(variant) == hash(fresh) and repr(variant) == repr(fresh)


def test_a_variant_of_a_variant_is_what_was_changed_last():
    spec = replace(replace(SmoothingSpec(sigma=0.5), n=500), stopping=AtRadius(0.25, max_n=600))
    assert replace(spec, n=300).stopping == AtRadius(0.25, max_n=300)


def test_a_variant_cannot_hold_nonsense():
    with pytest.raises(CertificationError, match="give only one of them"):
        replace(SmoothingSpec(sigma=0.5), n=500, stopping=AtRadius(0.25, max_n=600))
    with pytest.raises(CertificationError, match="the least n is 10"):
        replace(SmoothingSpec(sigma=0.5), n=9)


def test_a_certificate_states_what_it_rests_on():
    rule = FixedSample(1000, "simultaneous")
    spec = SmoothingSpec(sigma=0.25, n0=30, alpha=0.01, stopping=rule, noise="discrete")
    votes = VoteCounts({5: 900, 2: 60, 8: 40})
    certificate = conclude(5, votes, spec, alpha=0.005, input="tensor", backend="torch")
    proof = rule.prove(Tally(count_a=900, count_b=60, n=1000), radius=None, sigma=0.25, alpha=0.005)
    assert certificate == Certificate(
        label=5, radius=proof.radius, p_a_lower=proof.p_a_lower, p_b_upper=proof.p_b_upper, count_a=900, count_b=60,
        sigma=0.25, n0=30, n=1000, alpha=0.01, stopping="fixed", bound="simultaneous", radius_asked=None,
        noise="discrete", norm="l2", input="tensor", backend="torch", class_name=None,
    )  # fmt: skip
    assert proof.radius > 0 and not certificate.abstained


def test_a_certificate_of_a_rule_that_tests_a_radius_states_that_radius():
    spec = SmoothingSpec(sigma=0.25, stopping=AtRadius(0.1, max_n=1000))
    certified = conclude(5, VoteCounts({5: 900}), spec, alpha=0.001, radius=0.1)
    assert (certified.radius, certified.radius_asked, certified.label) == (0.1, 0.1, 5)
    assert (certified.stopping, certified.bound, certified.p_a_lower) == ("at-radius", "tangent-bets", None)
    refused = conclude(5, VoteCounts({5: 900}), spec, alpha=0.001)
    assert (refused.radius, refused.radius_asked, refused.label) == (0.0, 0.1, None)
    assert (refused.input, refused.backend) == ("", "")


def test_the_defaults_of_a_spec_are_these():
    spec = SmoothingSpec(sigma=1.0)
    assert (spec.n0, spec.n, spec.alpha, spec.noise, spec.stopping) == (
        100,
        100_000,
        0.001,
        "gaussian",
        FixedSample(100_000),
    )
    assert replace(spec, stopping=AtRadius(1.0)).n0 == 16 and replace(spec, n0=50, stopping=AtRadius(1.0)).n0 == 50
    assert SmoothingSpec(sigma=0.5, n0=7).n0 == 7


def test_the_clean_classifier_proves_radius_zero_by_one_evaluation_and_nothing_without_it():
    spec = SmoothingSpec(sigma=0.0, stopping=AtRadius(0.0))
    certified, open_ = (conclude(2, VoteCounts(counts), spec, alpha=0.001) for counts in ({2: 1}, {}))
    assert (certified.label, certified.radius, certified.p_a_lower, certified.n) == (2, 0.0, 1.0, 1)
    assert (open_.label, open_.radius, open_.p_a_lower, open_.n) == (None, 0.0, 0.0, 0)
