"""calibration.json: every number follows from its scores and counts, and edited ones are refused."""

import json

import pytest

from tests.zoo.models.test_spec import SPEC
from zoo.errors import CheckpointError
from zoo.results.calibration import (
    Calibration,
    MeasuredSets,
    calibration_faults,
    contradicted_claims,
    parse_calibration,
)

CALIBRATION = Calibration(
    weights_sha256="ab", preprocessing=SPEC.preprocessing, task="pets", data="", radius=0.25, alpha=0.1, sigma=0.5,
    noise="gaussian", score="negative-log-softmax", threshold=0.97, backend="torch-cpu-float32", batch_size=64, seed=0,
    images=tuple(range(0, 200, 2)), scores=tuple(score / 100 for score in range(100)),
    measured=MeasuredSets(num_covered=95, size_counts=(1, 59, 40)),
)  # fmt: skip


def edited(**changes):
    return json.dumps(CALIBRATION.model_dump(mode="json") | changes).encode()


def test_a_calibration_is_read_as_it_was_written():
    assert parse_calibration(edited(), source="calibration.json") == CALIBRATION


def test_the_threshold_is_the_score_of_its_rank():
    assert CALIBRATION.threshold == sorted(CALIBRATION.scores)[97], "101 (1 - 0.0374) = 97.2, so the 98th"
    assert CALIBRATION.label_sets().threshold == 0.97 and CALIBRATION.label_sets().num_calibration_images == 100


def test_the_numbers_of_the_card_follow_from_the_counts():
    result = CALIBRATION.result()
    assert (result.num_images, result.num_measured_images) == (100, 100)
    assert result.coverage == 0.95 and result.coverage_interval == pytest.approx((0.8872, 0.9836), abs=1e-4)
    assert result.mean_size == pytest.approx(1.39)
    low, high = result.mean_size_interval
    assert 1.2 < low < 1.39 < high < 1.6


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"threshold": 0.5}, "threshold is 0.5, but the scores give 0.97"),
        ({"scores": [0.0] * 100}, "but the scores give 0.0"),
        ({"radius": 0.5}, "threshold is 0.97, but the scores give 0.99"),
        ({"alpha": 0.2}, "but the scores give 0.9"),
        ({"radius": 1.0}, "100 calibration images are too few .* at least 1,937"),
        ({"scores": [0.5] * 99}, "100 images have 99 scores"),
        ({"images": [0, *range(99)]}, "ascending indices of the 200 images"),
        ({"images": list(range(101, 201))}, "ascending indices of the 200 images"),
        ({"measured": {"num_covered": 100, "size_counts": [1, 59, 40]}}, "cannot contain the true class"),
        ({"measured": {"num_covered": 0, "size_counts": [0, 0]}}, "counts of at least one image"),
        ({"surprise": 1}, "surprise"),
        ({"schema_version": 2}, "schema_version"),
    ],
    ids=str,
)
def test_what_does_not_follow_from_the_scores_is_refused_by_name(changes, said):
    with pytest.raises(CheckpointError, match=said):
        parse_calibration(edited(**changes), source="calibration.json")
    with pytest.raises(CheckpointError, match="not valid JSON"):
        parse_calibration(b"{", source="calibration.json")


def test_a_calibration_of_another_network_is_named():
    assert list(calibration_faults(CALIBRATION, SPEC, weights_sha256="ab")) == []
    other = SPEC.certified.model_copy(
        update={"sigma": 1.0, "preprocessing": SPEC.preprocessing.model_copy(update={"resize": 224})}
    )
    changed = SPEC.model_copy(update={"certified": other, "num_classes": 3})
    faults = list(calibration_faults(CALIBRATION, changed, weights_sha256="cd"))
    assert len(faults) == 4
    for fault, word in zip(
        faults, ("weights with SHA-256 ab, not of cd", "input", "sigma 0.5", "2 classes"), strict=True
    ):
        assert word in fault


def test_every_claim_of_the_config_is_compared():
    claim = CALIBRATION.result()
    assert list(contradicted_claims(claim, CALIBRATION)) == []
    (missing,) = contradicted_claims(None, CALIBRATION)
    assert "the config claims no numbers" in missing
    for change in ({"coverage": 0.99}, {"mean_size": 1.0}, {"radius": 0.5}, {"mean_size_interval": (1.38, 1.40)}):
        (name,) = change
        (fault,) = contradicted_claims(claim.model_copy(update=change), CALIBRATION)
        assert fault.startswith(f"{name.replace('_', ' ')}: the card says")
