"""A card says how a network was attacked, on what, and which way its number errs."""

import pytest
from pydantic import ValidationError

from tests.zoo.cards.test_card import EMPIRICAL, card_of
from zoo.models.measurements import Attack, EmpiricalResult, NoiseAccuracy, SmoothedTarget

APGD = Attack(
    name="apgd", version="1", norm="l2", epsilon=0.5, num_steps=100, step_size=1.0,
    start="a random point at distance epsilon", loss="ce", num_restarts=2, seed=7,
)  # fmt: skip
ATTACKED = EMPIRICAL.model_copy(
    update={
        "skip": 5, "maximum": 500, "mean_per_class_accuracy": 0.94, "attack": APGD, "robust_accuracy": 0.5,
        "robust_accuracy_interval": (0.4, 0.6), "mean_per_class_robust_accuracy": 0.48,
        "noise": (NoiseAccuracy(sigma=0.5, accuracy=0.91, interval=(0.84, 0.96)),),
    }
)  # fmt: skip
THROUGH_NOISE = APGD.model_copy(
    update={
        "name": "smoothed-pgd", "start": "the image", "loss": None, "num_restarts": 1,
        "smoothed": SmoothedTarget(sigma=0.25, num_noise_samples=32, n=1000, alpha=0.001),
    }
)  # fmt: skip
SMOOTHED = ATTACKED.model_copy(
    update={"classifier": "smoothed", "attack": THROUGH_NOISE, "robust_accuracy": 0.7, "attacked_abstention_rate": 0.03}
)


def test_robust_accuracy_stands_with_all_that_it_depends_on():
    metadata, body = card_of(empirical=ATTACKED)
    assert (
        "Robust accuracy of the base classifier: 50.0 % (40.0 to 60.0 %) of the same images under apgd (1), l2 epsilon "
        "0.5, 100 steps of 1 from a random point at distance epsilon, loss ce, 2 restarts, seed 7." in body
    )
    assert "A stronger attack may lower it." in body and "smoothed classifier at sigma" not in body
    assert "Mean per-class robust accuracy: 48.0 %" in body
    assert "(evenly spaced images 0, 5, 10 and so on below 500)" in body and "| 0.5 | 91.0 | 84.0 to 96.0 |" in body
    _, robust = metadata["model-index"][0]["results"][0]["metrics"]
    assert (robust["type"], robust["value"]) == ("robust_accuracy", 50.0)
    assert robust["args"] == {
        "version": "1", "norm": "l2", "epsilon": 0.5, "num_steps": 100, "step_size": 1.0,
        "start": "a random point at distance epsilon", "loss": "ce", "num_restarts": 2, "seed": 7,
        "num_images": 100, "images": "evenly spaced images 0, 5, 10 and so on below 500",
    }  # fmt: skip


def test_what_an_attack_left_out_is_said():
    attack = APGD.model_copy(
        update={"name": "autoattack", "step_size": None, "loss": None, "notes": ("fab-t left out",)}
    )
    _, body = card_of(empirical=ATTACKED.model_copy(update={"attack": attack}))
    assert "100 steps from a random point" in body and "; fab-t left out. A stronger attack" in body


def test_an_upper_bound_of_the_smoothed_classifier_stands_beside_the_base_classifiers_number():
    metadata, body = card_of(empirical=ATTACKED.model_copy(update={"smoothed": SMOOTHED}))
    assert "Robust accuracy of the base classifier: 50.0 %" in body
    assert "Robust accuracy of the smoothed classifier at sigma 0.25: at most 70.0 %" in body
    assert "Abstentions, 3.0 % of all images under attack, count as robust" in body
    assert "gradient over 32 draws of noise of sigma 0.25, predictions from n = 1,000 draws at alpha = 0.001" in body
    _, _, smoothed = metadata["model-index"][0]["results"][0]["metrics"]
    assert (smoothed["value"], smoothed["args"]["sigma"], smoothed["args"]["n"]) == (70.0, 0.25, 1000)
    assert smoothed["name"] == "robust accuracy of the smoothed classifier under smoothed-pgd (%, an upper bound)"


def test_without_an_attack_none_is_claimed():
    metadata, body = card_of(empirical=EMPIRICAL)
    assert "Robustness against attacks: not measured." in body and "Robust accuracy" not in body
    assert len(metadata["model-index"][0]["results"][0]["metrics"]) == 1


def test_a_result_recorded_by_an_earlier_version_is_still_read():
    old = EMPIRICAL.model_dump()
    for name in ("classifier", "skip", "maximum", "mean_per_class_accuracy", "smoothed", "attacked_abstention_rate"):
        del old[name]
    old["noise"] = [{"sigma": 0.5, "accuracy": 0.91}]
    old["attack"] = {
        "name": "pgd", "version": "1", "norm": "l2", "epsilon": 0.5, "num_steps": 20, "step_size": 0.0625,
        "start": "the image",
    }  # fmt: skip
    old |= {"robust_accuracy": 0.5, "robust_accuracy_interval": [0.4, 0.6]}
    result = EmpiricalResult.model_validate(old)
    assert result.attack.describe() == "pgd (1), l2 epsilon 0.5, 20 steps of 0.0625 from the image"
    assert "20 steps of 0.0625 from the image. A stronger" in card_of(empirical=result)[1]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"robust_accuracy_interval": None}, "needs its interval and its attack"),
        ({"smoothed": EMPIRICAL}, "`smoothed` must be a result of the smoothed classifier"),
        ({"skip": 0}, "greater than or equal to 1"),
    ],
)
def test_a_result_that_says_half_is_refused(change, said):
    with pytest.raises(ValidationError, match=said):
        EmpiricalResult.model_validate(ATTACKED.model_dump() | change)
