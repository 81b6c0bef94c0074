"""A card says what was measured, and that the rest was not."""

import yaml

from tests.zoo.models.test_spec import SPEC
from zoo.cards import render_card
from zoo.models.measurements import (
    CertificationResult,
    CertifiedAccuracy,
    EmpiricalResult,
    LabelDistribution,
    NoiseAccuracy,
    ShareAtMost,
    SharedAlpha,
)
from zoo.models.spec import Origin

CERTIFICATION = CertificationResult(
    task="pets", split="test", skip=3, num_images=120, sigma=0.5, noise="gaussian", n0=100,
    n=1000, alpha=0.001, stopping="fixed", backend="torch-cpu-float32", seed=7, standard_accuracy=0.9,
    standard_accuracy_interval=(0.83, 0.95), average_certified_radius=1.25,
    average_certified_radius_interval=(1.1, 1.4), abstention_rate=0.05,
    certified_accuracy=(CertifiedAccuracy(radius=0.5, accuracy=0.8, low=0.7, high=0.9),),
)  # fmt: skip
WITH_DISTRIBUTION = CERTIFICATION.model_copy(
    update={
        "bound": "simultaneous",
        "p_a_of_label": LabelDistribution(
            confidence=0.95, half_width=0.124, points=(ShareAtMost(p_a=0.5, share=0.2, low=0.076, high=0.324),)
        ),
    }
)
EMPIRICAL = EmpiricalResult(
    task="pets", split="test", num_images=100, standard_accuracy=0.95, standard_accuracy_interval=(0.9, 0.98),
    noise=(NoiseAccuracy(sigma=0.5, accuracy=0.91),), seed=0,
)  # fmt: skip


FILES = {"model.safetensors": "ab" * 32, "config.json": "ef" * 32}


def card_of(*, files=FILES, **results):
    certified = SPEC.certified.model_copy(update=results)
    card = render_card(SPEC.model_copy(update={"certified": certified}), files=files)
    _, header, body = card.split("---\n", 2)
    return yaml.safe_load(header), body


def test_an_unmeasured_model_has_no_numbers():
    metadata, body = card_of()
    assert "model-index" not in metadata
    assert body.count("Not measured.") == 2 and "Robustness against attacks: not measured." in body


def test_certified_numbers_stand_with_all_that_they_depend_on():
    metadata, body = card_of(certification=CERTIFICATION)
    (result,) = metadata["model-index"][0]["results"]
    certified, radius, abstained = result["metrics"]
    assert (certified["value"], radius["value"], abstained["value"]) == (80.0, 1.25, 5.0)
    assert certified["args"] == {
        "radius": 0.5, "interval_95": [70.0, 90.0], "norm": "l2",
        "sigma": 0.5, "noise": "gaussian", "n0": 100, "n": 1000, "alpha": 0.001,
        "stopping": "fixed", "num_images": 120, "images": "evenly spaced images 0, 3, 6 and so on",
        "backend": "torch-cpu-float32", "seed": 7,
    }  # fmt: skip
    assert "| 0.5 | 80.0 | 70.0 to 90.0 |" in body and "| average certified radius | 1.250 | 1.100 to 1.400 |" in body
    assert body.count("Not measured.") == 1
    assert "bound from n = 1,000 further draws (one-sided Clopper-Pearson, stopping rule `fixed`)" in body
    assert (
        "--n 1000 --alpha 0.001 --noise gaussian --stopping fixed --backend torch --device cpu --seed 7 --output"
        in body
    )


def test_the_distribution_of_p_a_stands_below_the_average_radius_that_alone_misleads():
    _, body = card_of(certification=WITH_DISTRIBUTION)
    assert "| 0.5 | 20.0 | 7.6 to 32.4 |" in body and "12.4 points to each side" in body
    assert "can mislead" in body and "arXiv 2410.06895" in body
    assert "The images are evenly spaced images 0, 3, 6 and so on, not a random sample" in body
    _, body = card_of(certification=WITH_DISTRIBUTION.model_copy(update={"skip": 1}))
    assert "evenly spaced" not in body
    anytime = {"stopping": "anytime", "bound": "tangent-bets", "p_a_of_label": None}
    _, body = card_of(certification=WITH_DISTRIBUTION.model_copy(update=anytime))
    assert "under the stopping rule `anytime` the share of the votes is biased" in body
    assert "bets on tangents, for the class and against every other class" in body


def test_a_rule_with_a_tolerance_stands_with_it_its_bound_and_the_mean_draws():
    changed = {"stopping": "anytime", "tolerance": 0.05, "mean_n": 416.67, "noise": "discrete"}
    metadata, body = card_of(certification=CERTIFICATION.model_copy(update=changed))
    certified = metadata["model-index"][0]["results"][0]["metrics"][0]
    said = {name: certified["args"].get(name) for name in (*changed, "radius_asked")}
    assert said == {**changed, "radius_asked": None} and "radius_asked" not in certified["args"]
    assert "with discrete noise" in body and "bound from at most n = 1,000 further draws, 416.7 on average" in body
    assert "(beta-mixture confidence sequence, stopping rule `anytime` with tolerance 0.05)" in body
    assert "--noise discrete --stopping anytime --tolerance 0.05 --backend torch --device cpu --seed 7" in body
    assert "average certified radius | 1.250" in body


def test_a_rule_that_decides_one_radius_has_accuracy_there_only():
    changed = {
        "stopping": "at-radius", "radius_asked": 0.5, "mean_n": 90.0, "standard_accuracy": None,
        "standard_accuracy_interval": None, "average_certified_radius": None, "average_certified_radius_interval": None,
    }  # fmt: skip
    metadata, body = card_of(certification=CERTIFICATION.model_copy(update=changed))
    certified, abstained = metadata["model-index"][0]["results"][0]["metrics"]
    assert abstained["type"] == "abstention_rate"
    assert (certified["value"], certified["args"]["radius_asked"]) == (80.0, 0.5)
    assert "| 0.5 | 80.0 | 70.0 to 90.0 |" in body and "| abstentions (%) | 5.0 | |" in body
    assert "stopping rule `at-radius` at radius 0.5)" in body
    assert "| average certified radius |" not in body and "| standard accuracy" not in body
    assert "--stopping at-radius --radius 0.5 --backend torch --device cpu --seed 7" in body


def test_only_a_family_is_said_to_hold_at_once():
    family = SharedAlpha(alpha=0.12, size=120)
    metadata, body = card_of(certification=CERTIFICATION.model_copy(update={"family": family}))
    assert "All 120 certificates behind the table below hold at once with probability at least 1 - 0.12" in body
    assert "--n 1000 --alpha 0.12 --family --noise" in body
    assert metadata["model-index"][0]["results"][0]["metrics"][0]["args"]["family_alpha"] == 0.12
    metadata, body = card_of(certification=CERTIFICATION)
    assert "at once" not in body and "family" not in str(metadata) + body


def test_the_limits_tell_gaussian_noise_in_floating_point_from_discrete_noise():
    _, body = card_of()
    limits = body[body.index("## Limits") :]
    assert "With `gaussian` noise" in limits and "floating point" in limits and "the arithmetic that ran" in limits


def test_a_result_recorded_before_there_were_rules_is_still_read():
    old = CERTIFICATION.model_dump()
    for name in ("mean_n", "radius_asked", "tolerance"):
        del old[name]
    assert CertificationResult.model_validate(old) == CERTIFICATION


def test_empirical_numbers_stand_beside_them():
    metadata, body = card_of(certification=CERTIFICATION, empirical=EMPIRICAL)
    (result,) = metadata["model-index"][0]["results"]
    assert [metric["type"] for metric in result["metrics"]][-1] == "accuracy"
    assert "95.0 % (90.0 to 98.0 %) on 100 clean images" in body and "| 0.5 | 91.0 |" in body


def test_the_threat_model_the_hash_and_the_citation_are_always_there():
    _, body = card_of()
    for said in ("l2 norm", "pixels in [0, 1]", "ab" * 32, "Cohen", "Jeong", "zoo certify MODEL --task pets --output"):
        assert said in body


ORIGIN = Origin(
    file="a|b`c.pth", sha256="cd" * 32, format="cohen", url="https://example.org/a.pth", licence="MIT",
    catalog_id="resnet50.x",
)  # fmt: skip
UNSTATED = {
    "origin": ORIGIN, "objective": "unknown", "hyper_parameters": {}, "sigma": None, "seed": None, "epochs": None,
    "recipe_digest": None,
}  # fmt: skip


def test_an_imported_model_says_where_it_came_from_and_that_reported_numbers_were_not_measured_here():
    metadata, body = card_of(**UNSTATED)
    assert "| imported from | `a\\|b'c.pth`, SHA-256 " + "cd" * 32 + ", format cohen |" in body
    assert "| published at | `https://example.org/a.pth` |" in body and "Licence of the weights: `MIT`." in body
    assert "| catalog id | `resnet50.x` |" in body and "No number was given when the file was imported." in body
    assert "The numbers that its authors report were not measured here" in body and "Not measured." in body
    assert "trained with a method that was not stated" in body and "unknown" not in metadata["tags"]
    assert "None" not in body and "started from" not in body and "untrained" not in body


def test_a_licence_that_was_not_stated_is_said_to_be_so():
    _, body = card_of(**UNSTATED | {"origin": Origin(file="a.pth", sha256="cd" * 32, format="timm")})
    assert "Licence of the weights: not stated; ask the authors." in body
    assert "| published at | not stated |" in body and "catalog id" not in body


def test_a_task_that_was_not_stated_is_not_one_to_certify_on():
    _, body = card_of(**UNSTATED | {"task": "unknown"})
    assert "for a task that was not stated (2 classes)" in body and "zoo certify MODEL --task TASK --output" in body


def test_an_untrained_head_is_said_to_predict_nothing():
    _, body = card_of(**UNSTATED | {"has_trained_head": False})
    assert "| head | newly initialized, untrained |" in body and "its predictions are meaningless until" in body
    assert "zoo train --task TASK --init MODEL --output DIR" in body and "zoo certify" not in body


def test_an_imported_model_with_a_stated_noise_is_a_smoothed_classifier():
    _, body = card_of(**UNSTATED | {"objective": "consistency", "sigma": 0.5})
    assert "trained with `consistency`\nunder Gaussian noise of sigma 0.5" in body and "were not measured here" in body


def test_batch_statistics_stand_where_they_were_stated():
    assert "batch normalization" not in card_of()[1]
    _, body = card_of(batch_statistics="clean training images")
    assert "| batch normalization | running statistics of clean training images |" in body


def test_how_our_own_model_was_made_stands_without_an_origin():
    _, body = card_of()
    assert "| started from | random weights |" in body and "| epochs | 3 |" in body and "| seed | 1 |" in body
    assert "imported" not in body and "Licence of the weights: not stated." in body


def test_frozen_layers_stand_where_the_recipe_names_them():
    assert "| frozen | up to layer3 |" in card_of(recipe={"freeze": "layer3"})[1]
    for recipe in ({}, {"freeze": "none"}):
        assert "frozen" not in card_of(recipe=recipe)[1]
