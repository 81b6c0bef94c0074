"""Label sets: their scores, one draw that shares its batch, fresh noise, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.zoo.smoothing.fakes import Threshold
from zoo.errors import CertificationError
from zoo.smoothing import (
    Certification,
    CertificationEngine,
    LabelSet,
    LabelSetJob,
    LabelSetSpec,
    NoiseKey,
    NoisySampler,
    SamplingOptions,
    SmoothedClassifier,
    SmoothingSpec,
    TorchBackend,
)
from zoo.smoothing.engine import Failed
from zoo.smoothing.label_set import SCORE, SCORE_MARGIN, label_scores, labels_within

SPEC = LabelSetSpec(
    radius=0.25, alpha=0.1, sigma=0.5, noise="gaussian", threshold=1.0, num_calibration_images=99, task="pets",
    backend="torch-cpu-float32",
)  # fmt: skip
SMOOTHING = SmoothingSpec(sigma=0.5, n0=10, n=90)


def three_classes(x_BCHW):
    """Logits that are linear in the first pixel."""
    pixel_B = x_BCHW[:, 0, 0, 0]
    return torch.stack([-8 * pixel_B, 0 * pixel_B, 8 * pixel_B], dim=1)


def image(pixel=0.5):
    return torch.full((1, 2, 2), pixel)


def engine(base=None, batch_size=32):
    base = base or TorchBackend(three_classes, num_classes=3)
    return CertificationEngine(NoisySampler(base, SamplingOptions(batch_size=batch_size)))


def run(engine, *jobs):
    for job in jobs:
        engine.admit(job)
    answers = {}
    while engine.num_open:
        finished, failed = engine.step_apart()
        answers |= {each.id: each for each in failed} | {each.id: each.result for each in finished}
    return answers


def new_set(id="set", *, root=1, spec=SPEC):
    return LabelSetJob(id, image(), spec=spec, key=NoiseKey(root, 0))


def test_the_score_is_minus_the_log_softmax_and_finite_where_probabilities_are_not_told_apart():
    logits_MK = np.array([[1.0, 2.0, 3.0], [0.0, 1e4, -1e38]], dtype=np.float32)
    scores_MK = label_scores(logits_MK)
    np.testing.assert_allclose(scores_MK[0], -torch.log_softmax(torch.from_numpy(logits_MK[0]).double(), 0), rtol=1e-12)
    assert np.isfinite(scores_MK).all() and scores_MK[1, 1] == 0 and scores_MK[1, 0] == 1e4


def test_a_set_has_the_classes_up_to_the_threshold_ties_included_the_best_first():
    scores_K = np.array([2.0, 0.5, 1.0, 1.0 + SCORE_MARGIN / 2, 1.0 + 2 * SCORE_MARGIN])
    assert labels_within(scores_K, 1.0) == (1, 2, 3)
    assert labels_within(scores_K, 0.1) == ()


def test_the_margin_is_a_ten_thousandth_and_equal_scores_come_in_the_order_of_the_classes():
    assert SCORE == "negative-log-softmax", "files of calibrations name it"
    assert labels_within(np.array([1.00009]), 1.0) == (0,) and labels_within(np.array([1.00011]), 1.0) == ()
    assert labels_within(np.tile([0.5, 0.25], 100), 1.0) == (*range(1, 200, 2), *range(0, 200, 2))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"radius": -0.1}, "radius must be"),
        ({"alpha": 1.0}, "alpha must be"),
        ({"sigma": 0.0}, "a label set needs noise"),
        ({"noise": "uniform"}, "noise must be"),
        ({"noise": "discrete", "sigma": 11.0}, "at most 10 for discrete noise"),
        ({"threshold": float("inf")}, "threshold must be finite"),
    ],
)
def test_a_guarantee_outside_of_its_range_is_refused(changes, said):
    assert replace(SPEC, alpha=0.75).alpha == 0.75
    with pytest.raises(CertificationError, match=said):
        replace(SPEC, **changes)


def test_a_set_is_that_of_the_logits_of_its_one_draw():
    job = new_set()
    job_engine = engine()
    noisy_MCHW = job_engine.sampler.copies(job.first_draws(1))
    (expected_K,) = label_scores(three_classes(noisy_MCHW).numpy())
    answer = run(job_engine, job)["set"]
    assert answer == LabelSet(
        labels=labels_within(expected_K, 1.0), spec=SPEC, input="1x2x2 in [0, 1]", backend="torch-cpu-float32"
    )
    assert job.num_taken == answer.n == 1 and len(noisy_MCHW) == 1


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_sets_and_certifications_that_share_batches_get_the_answers_that_they_get_alone(batch_size):
    def jobs():
        certification = Certification("certified", image(0.3), smoothing=SMOOTHING, key=NoiseKey(3, 0))
        return [new_set("first", root=1), certification, new_set("second", root=2)]

    alone = {}
    for job in jobs():
        alone |= run(engine(), job)
    assert run(engine(batch_size=batch_size), *jobs()) == alone


def test_a_backend_without_logits_refuses_sets_and_goes_on_voting():
    certification = Certification("certified", image(0.9), smoothing=SMOOTHING, key=NoiseKey(3, 0))
    answers = run(engine(Threshold(at=0.0)), new_set(), certification)
    assert answers["certified"].label == 1 and isinstance(answers["set"], Failed)
    assert "the backend threshold returns classes only" in str(answers["set"].error)


def classifier(**changes):
    given = {"num_classes": 3, "smoothing": SMOOTHING, "label_sets": SPEC, "class_names": ["a", "b", "c"]} | changes
    return SmoothedClassifier(three_classes, **given)


def test_every_set_has_fresh_noise_and_the_names_of_its_classes(monkeypatch):
    keys = []

    def fresh_key():
        keys.append(NoiseKey(7, len(keys)))
        return keys[-1]

    monkeypatch.setattr("zoo.smoothing.classifier.fresh_key", fresh_key)
    g = classifier()
    single, several = g.label_set(image()), g.label_set([image()] * 20)
    assert isinstance(single, LabelSet) and len(keys) == len(set(keys)) == 21
    assert len({answer.labels for answer in several}) > 1, "one image, other draws"
    assert all(answer.class_names == tuple("abc"[label] for label in answer.labels) for answer in several)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"label_sets": None}, "no calibration for label sets: make one .* zoo calibrate MODEL --task TASK --radius"),
        ({"smoothing": replace(SMOOTHING, sigma=0.25)}, "made with sigma 0.5, not 0.25"),
        ({"smoothing": replace(SMOOTHING, noise="discrete")}, "made with noise gaussian, not discrete"),
        ({"label_sets": replace(SPEC, backend="onnxruntime-cpu-float32")}, "with backend onnxruntime-cpu-float32, not"),
    ],
)  # fmt: skip
def test_without_a_calibration_for_these_conditions_sets_are_refused(changes, said):
    with pytest.raises(CertificationError, match=said):
        classifier(**changes).label_set(torch.full((1, 2, 2), 1.0))


def test_a_set_takes_no_generator():
    with pytest.raises(TypeError):
        classifier().label_set(image(), generator=torch.Generator())
