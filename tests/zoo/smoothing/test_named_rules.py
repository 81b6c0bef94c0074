"""A rule's name and numbers become that rule, or one sentence says why not."""

import pytest

from zoo.errors import CertificationError, RequestError
from zoo.smoothing import Anytime, AtRadius, FixedSample
from zoo.smoothing.named_rules import rule_from, tolerance_of


def test_each_name_gives_its_rule_and_n_is_the_draws_or_the_most_of_them():
    assert rule_from("fixed", n=500) == FixedSample(500)
    assert rule_from("fixed", n=500, bound="simultaneous") == FixedSample(500, bound="simultaneous")
    assert rule_from("at-radius", n=500, radius=0.5) == AtRadius(0.5, max_n=500)
    assert rule_from("anytime", n=500) == Anytime(max_n=500)
    assert rule_from("anytime", n=500, tolerance=0.0) == Anytime(max_n=500, tolerance=0.0)


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("fxed", {}, "unknown stopping rule 'fxed'; known: anytime, at-radius, fixed. Did you mean 'fixed'"),
        ("at-radius", {}, "at-radius requires the radius to test"),
        ("fixed", {"radius": 0.5}, "radius 0.5 applies only to the stopping rule at-radius, not to fixed"),
        ("anytime", {"radius": 0.5}, "radius 0.5 applies only to the stopping rule at-radius, not to anytime"),
        ("fixed", {"tolerance": 0.0}, "tolerance 0 applies only to the stopping rule anytime, not to fixed"),
        ("fixed", {"bound": "hoeffding"}, "bound must be clopper-pearson or simultaneous, got 'hoeffding'"),
        (
            "anytime",
            {"bound": "simultaneous"},
            "bound simultaneous applies only to the stopping rule fixed, not to any",
        ),
        ("at-radius", {"radius": 0.5, "tolerance": 0.1}, "tolerance 0.1 applies only to the stopping rule anytime"),
    ],
)
def test_a_wrong_combination_is_refused_in_one_sentence(name, given, said):
    with pytest.raises(RequestError, match=said):
        rule_from(name, n=500, **given)


@pytest.mark.parametrize(
    ("name", "given"), [("at-radius", {"radius": -1.0}), ("anytime", {"tolerance": float("nan")}), ("fixed", {"n": 0})]
)
def test_a_value_out_of_range_is_refused_by_the_rule_itself(name, given):
    with pytest.raises(CertificationError):
        rule_from(name, **{"n": 500, **given})


def test_only_an_anytime_rule_has_a_tolerance():
    rules = (FixedSample(500), AtRadius(0.5), Anytime(tolerance=0.1))
    assert [tolerance_of(rule) for rule in rules] == [None, None, 0.1]
