"""From `zoo calibrate` to label sets in Python and from a service, and what `zoo verify` makes of a calibration."""

import io
import json
from dataclasses import replace

import pytest

import zoo
from serving.protocol import Limits
from serving.service.loading import load_service
from serving.service.local import ask_service
from tests.zoo.verification import forging
from training.evaluation.calibration import plan_calibration
from training.tasks import open_task
from zoo.checkpoints.checkpoint import open_checkpoint, read_calibration
from zoo.errors import CheckpointError, RequestError
from zoo.verification import verify

OPTIONS = ["--task", "digits", "--radius", 0.25, "--images", 120, "--backend", "torch", "--json"]


@pytest.fixture
def calibrated(copy_of_digits, zoo_command):
    """A copy of the digits checkpoint, calibrated on 120 of 359 test images."""
    done = zoo_command("calibrate", copy_of_digits, *OPTIONS)
    assert done.code == 0, done.err
    return copy_of_digits, json.loads(done.out)


def calibration_check(path):
    return next(check for check in verify(path).checks if check.name == "calibration")


def test_a_calibrated_checkpoint_is_verified_and_answers_with_sets(calibrated, tmp_path):
    path, told = calibrated
    assert (told["num_images"], told["num_measured_images"], told["radius"], told["alpha"]) == (120, 239, 0.25, 0.1)
    assert 0.9 < told["coverage"] <= 1 and 0 < told["mean_size"] < 3
    assert not verify(path).has_failed and calibration_check(path).outcome == "passed"
    card = (path / "README.md").read_text()
    assert "It is not a certificate of an image" in card and "zoo calibrate MODEL --task digits --radius 0.25" in card
    picture = open_task("digits", data_dir=tmp_path).test[3]
    answer = zoo.smooth(path, backend="torch").label_set(picture)
    assert answer.spec.radius == 0.25 and answer.spec.num_calibration_images == 120
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    # An operator who makes answers repeatable does not make sets repeatable.
    limits = Limits(cached_answers=10, allows_seed=True)
    service = load_service(open_checkpoint(path), device="cpu", limits=limits, backend="torch", decodes_inline=True)
    body = ask_service(service, buffer.getvalue(), {"mode": "set", "radius": 0.25, "alpha": 0.1, "copies": 3})
    assert body["set"]["coverage"] == "marginal" and body["repeatable"] is False and len(body["copies"]) == 1
    assert body["class_names"] == [str(label) for label in body["labels"]]
    other = ask_service(service, buffer.getvalue(), {"mode": "set", "copies": 3})
    assert other["copies"] != body["copies"], "fresh noise"
    for wrong, said in (({"radius": 0.5}, "radius=0.25 and alpha=0.1 only"), ({"seed": 1}, "nobody could foresee")):
        with pytest.raises(RequestError, match=said):
            ask_service(service, buffer.getvalue(), {"mode": "set", **wrong})


def test_a_second_calibration_with_the_same_seed_is_equal_and_with_another_radius_replaces_it(calibrated, zoo_command):
    path, told = calibrated
    first = read_calibration(open_checkpoint(path))
    assert json.loads(zoo_command("calibrate", path, *OPTIONS).out) == told
    assert read_calibration(open_checkpoint(path)) == first
    before = open_checkpoint(path)
    zoo_command("calibrate", path, *OPTIONS, "--radius", 0.5)
    with pytest.raises(CheckpointError, match="has changed since it was opened"):
        read_calibration(before)
    assert read_calibration(open_checkpoint(path)).threshold > first.threshold
    refused = zoo_command("calibrate", path, *OPTIONS, "--radius", 1)
    assert refused.code == 2 and "at least 1,937 images are needed" in refused.err


def test_a_doctored_calibration_fails_although_hashes_and_card_were_made_to_fit(calibrated):
    path, _ = calibrated
    contents = json.loads((path / "calibration.json").read_text())
    for change, said in (
        ({"threshold": contents["threshold"] + 0.5}, "but the scores give"),
        ({"weights_sha256": "0" * 64}, "the calibration is of weights with SHA-256 000"),
        ({"measured": {**contents["measured"], "num_covered": 1}}, "coverage: the card says"),
    ):
        (path / "calibration.json").write_text(json.dumps(contents | change))
        forging.recompute_card(path)
        assert said in " ".join(calibration_check(path).findings)
    (path / "calibration.json").write_text(json.dumps(contents | {"sigma": 0.25}))
    forging.recompute_card(path)
    with pytest.raises(CheckpointError, match=r"threshold is .* but the scores give"):
        zoo.smooth(path)


def test_the_test_images_of_another_split_are_not_taken_for_new_ones(copy_of_digits, tmp_path):
    checkpoint, task = open_checkpoint(copy_of_digits), open_task("digits", data_dir=tmp_path)
    given = {"radius": 0.25, "alpha": 0.1, "noise": "gaussian", "num_images": 100, "seed": 3}
    plan = plan_calibration(checkpoint, task, **given)
    assert len(set(plan.images)) == 100 and not set(plan.images) & set(plan.others)
    assert set(plan.images) | set(plan.others) == set(range(len(task.test)))
    with pytest.raises(RequestError, match="was trained on another split of digits"):
        plan_calibration(checkpoint, replace(task, split={"rule": "other"}), **given)
    with pytest.raises(RequestError, match="leaves none of the 359 test images"):
        plan_calibration(checkpoint, task, **{**given, "num_images": 359})


def test_a_network_without_a_calibration_names_the_command_that_makes_one(copy_of_digits, zoo_command, tmp_path):
    open_task("digits", data_dir=tmp_path).test[3].save(tmp_path / "digit.png")
    asked = ["predict", tmp_path / "digit.png", "--model", copy_of_digits, "--backend", "torch", "--mode", "set"]
    refused = zoo_command(*asked)
    assert refused.code == 2 and "make one with zoo calibrate MODEL --task digits --radius RADIUS" in refused.err
    assert calibration_check(copy_of_digits).outcome == "unchecked"
