"""A job asks for the right draws and gives their votes to the right test."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from zoo.errors import CertificationError
from zoo.smoothing import (
    Anytime,
    AtRadius,
    Certification,
    LabelSetJob,
    LabelSetSpec,
    NoiseKey,
    Prediction,
    SmoothingSpec,
)
from zoo.smoothing.discrete import discrete_gaussian
from zoo.smoothing.jobs import checked_pixels
from zoo.smoothing.noise import Phase, alpha_left

SELECTION, ESTIMATION = Phase
PIXEL = 51 / 255
X_CHW = torch.full((3, 2, 2), PIXEL)
KEY = NoiseKey(7, 1)


def certification(*, sigma=0.5, n0=20, **fields):
    return Certification("x", X_CHW, smoothing=SmoothingSpec(sigma=sigma, n0=n0, **fields), key=KEY)


def places(draws):
    return [(each.phase, each.start, each.num) for each in draws]


def vote(job, draws, *classes):
    """Records votes that repeat the given classes."""
    for each in draws:
        job.record(each, np.resize(np.array(classes, dtype=np.int64), each.num))


def progress(job):
    return job.num_taken, job.num_remaining, job.num_expected, job.num_useful


def test_a_certification_takes_n0_draws_that_select_and_then_n_others():
    job = certification(n=100)
    assert progress(job) == (0, 120, 120, 120)
    assert places(job.take(12)) == [(SELECTION, 0, 12)]
    assert places(job.take(50)) == [(SELECTION, 12, 8), (ESTIMATION, 0, 42)]
    assert progress(job) == (62, 58, 58, 58)
    assert places(job.take(1000)) == [(ESTIMATION, 42, 58)] and job.take(5) == []
    (first,) = certification(n=100).take(1)
    assert (first.sigma, first.noise, first.key) == (0.5, "gaussian", KEY) and first.x_CHW is not X_CHW


def test_the_first_draws_are_those_that_select_or_the_only_one_without_noise():
    assert places([certification(n=100).first_draws(16)]) == [(SELECTION, 0, 16)]
    assert places([certification(n=100).first_draws(64)]) == [(SELECTION, 0, 20)]
    clean = Certification("x", X_CHW, smoothing=SmoothingSpec(sigma=0.0), key=KEY)
    assert places([clean.first_draws(64)]) == places(clean.take(64)) == [(ESTIMATION, 0, 1)]


def test_only_selecting_draws_select_and_only_the_others_count():
    job = certification(n=100)
    selecting, bounding = job.take(120)
    vote(job, [selecting], 1)
    vote(job, [bounding], 2, 2, 1, 1, 1)
    certificate = job.result(backend="b")
    assert (certificate.count_a, certificate.count_b, certificate.n, certificate.n0) == (60, 40, 100, 20)
    assert certificate.label is None and certificate.backend == "b"
    assert [job.num_votes(label) for label in (0, 1, 2)] == [0, 60, 40]


def test_the_lowest_class_is_selected_on_a_tie():
    job = certification(n=100)
    selecting, bounding = job.take(120)
    vote(job, [selecting], 5, 3)
    vote(job, [bounding], 3)
    assert job.result(backend="").label == 3


def test_an_adaptive_rule_is_given_the_votes_in_order_and_those_after_its_end_are_discarded():
    """Radius 0.25 at alpha 0.001 needs 25 unanimous votes (`test_stopping`); the rest of the batch is against it."""
    job = certification(stopping=AtRadius(0.25, max_n=1000))
    vote(job, job.take(20), 1)
    assert progress(job) == (20, 16, 20, 1000)
    vote(job, job.take(24), 1)
    assert progress(job) == (44, 16, 44, 976)
    draws = job.take(60)
    (bounding,) = draws
    job.record(bounding, np.array([1] + [0] * 59))
    certificate = job.result(backend="")
    assert (certificate.label, certificate.radius, certificate.n, certificate.count_a) == (1, 0.25, 25, 25)
    assert (job.num_remaining, job.num_useful, job.num_expected, job.take(5)) == (0, 0, 0, [])
    job.record(bounding, np.zeros(60, dtype=np.int64))  # a draw that was under way when the rule ended
    assert job.result(backend="") == certificate


def test_a_certification_that_may_end_early_keeps_what_earlier_votes_proved():
    job = certification(stopping=Anytime(1000, 0.0))
    vote(job, job.take(20), 1)
    vote(job, job.take(64), 1)
    proved = job.so_far(backend="").radius
    assert proved == pytest.approx(0.5 * 0.95, rel=1e-12)  # the golden number of `test_stopping`
    vote(job, job.take(64), 0)
    certificate = job.so_far(backend="")
    assert (certificate.radius, certificate.n, certificate.count_a, certificate.count_b) == (proved, 128, 64, 64)


def test_before_the_class_is_selected_a_certification_is_an_abstention_that_says_what_it_is_of():
    job = certification(stopping=Anytime(1000, 0.0))
    vote(job, job.take(20), 1)
    certificate = job.so_far(backend="b")
    assert (certificate.label, certificate.n, certificate.backend, certificate.input) == (
        None,
        0,
        "b",
        "3x2x2 in [0, 1]",
    )


def test_the_only_evaluation_of_the_clean_classifier_ends_its_job():
    job = Certification("x", X_CHW, smoothing=SmoothingSpec(sigma=0.0), key=KEY)
    (draws,) = job.take(64)
    vote(job, [draws], 4)
    vote(job, [draws], 5)
    assert progress(job) == (1, 0, 0, 0)
    certificate = job.result(backend="")
    assert (certificate.label, certificate.n, certificate.radius) == (4, 1, 0.0)


def test_the_image_is_described_unless_the_caller_does():
    assert certification(n=100).input == "3x2x2 in [0, 1]"
    job = Certification("x", X_CHW, smoothing=SmoothingSpec(sigma=0.5, n=10), key=KEY, input="said")
    vote(job, job.take(110), 0)
    assert job.result(backend="").input == "said"


def discrete_share(alpha, sigma, num_values):
    """alpha less twice the distance of `num_values` thresholded uniform numbers of 128 bits from the exact law."""
    return alpha - 2 * (len(discrete_gaussian(sigma).high_T) + 2) * 2.0**-127 * num_values


def test_alpha_is_reduced_for_discrete_noise_by_exactly_the_distance_of_all_draws():
    alpha = 1e-30
    job = certification(n=100, alpha=alpha, noise="discrete")
    assert job.alpha == discrete_share(alpha, 0.5, 12 * 120) < alpha * (1 - 1e-4)
    assert certification(n=100, alpha=alpha).alpha == alpha
    predicted = Prediction("x", X_CHW, sigma=0.5, n=110, alpha=alpha, key=KEY, noise="discrete")
    assert predicted._alpha_left == discrete_share(alpha, 0.5, 12 * 110)
    assert alpha_left(alpha, sigma=0.0, noise="discrete", num_values=100) == alpha


def test_at_least_half_of_alpha_has_to_remain():
    lost = 2 * discrete_gaussian(0.5).total_variation(1)
    assert alpha_left(2.0000001 * lost, sigma=0.5, noise="discrete", num_values=1) > lost
    with pytest.raises(CertificationError, match="too small for discrete noise"):
        alpha_left(2 * lost, sigma=0.5, noise="discrete", num_values=1)


def test_the_certificate_rests_on_the_reduced_alpha_and_states_the_whole():
    """At this alpha all 100 draws certify with the whole of it. With what the noise leaves of it, they do not."""
    alpha = 2.0**-100 * (1 + 1e-9)
    job = certification(n=101, alpha=alpha, noise="discrete")
    vote(job, job.take(200), 1)
    certificate = job.result(backend="")
    assert certificate.alpha == alpha and certificate.p_a_lower < alpha ** (1 / 101) * (1 - 1e-12)


def prediction(*, n=100, alpha=0.001, **fields):
    return Prediction("x", X_CHW, **{"sigma": 0.5, "n": n, "alpha": alpha, "key": KEY, **fields})


def test_a_prediction_takes_n_draws_in_order():
    job = prediction()
    assert progress(job) == (0, 100, 100, 100)
    assert places([job.first_draws(16)]) == [(SELECTION, 0, 16)] and job.first_draws(1000).num == 100
    assert places(job.take(30)) == [(SELECTION, 0, 30)] and places(job.take(100)) == [(SELECTION, 30, 70)]
    assert progress(job) == (100, 0, 0, 0)


def test_a_prediction_counts_every_vote_and_states_its_alpha():
    job = prediction(alpha=0.01, noise="discrete")
    assert job.take(1)[0].noise == "discrete"
    vote(job, prediction().take(60), 2)
    vote(job, prediction().take(40), 1, 2)
    votes = job.result(backend="")
    assert (votes.label, votes.n, votes.alpha, votes.sigma, votes.top) == (2, 100, 0.01, 0.5, ((2, 80), (1, 20)))


@pytest.mark.parametrize(("votes", "label"), [(67, 2), (66, None)])
def test_a_prediction_is_decided_at_its_alpha(votes, label):
    """Of 100 votes, 67 have the p-value 0.00087 and 66 have 0.0018."""
    job = prediction()
    (draws,) = job.take(100)
    job.record(draws, np.array([2] * votes + [1] * (100 - votes)))
    assert job.result(backend="").label == label


def test_a_prediction_without_noise_is_one_evaluation_that_decides():
    job = prediction(sigma=0.0, n=50)
    draws = job.take(64)
    assert places(draws) == [(SELECTION, 0, 1)]
    vote(job, draws, 4)
    assert (job.result(backend="").label, job.result(backend="").alpha) == (4, 0.001)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"n": 10}, "the least n is 11"),
        ({"n": 0}, "n must be at least 1, got 0"),
        ({"sigma": -1.0}, "sigma must be"),
        ({"alpha": 1.0}, "alpha must be"),
        ({"noise": "uniform"}, "noise must be"),
        ({"noise": "discrete", "sigma": 11.0}, "at most 10 for discrete noise"),
    ],
)
def test_a_prediction_that_could_not_be_made_is_refused(fields, said):
    with pytest.raises(CertificationError, match=said):
        prediction(**fields)


def test_the_corners_of_the_unit_range_are_pixels_and_a_step_outside_is_none():
    corners = torch.tensor([[[0.0, 1.0]]])
    assert checked_pixels(corners).tolist() == [[[0.0, 1.0]]]
    for outside in (-1e-6, 1 + 1e-6):
        with pytest.raises(CertificationError, match=r"pixels must be in \[0, 1\]"):
            checked_pixels(torch.tensor([[[0.5, outside]]]))


@pytest.mark.parametrize("shape", [(2, 2), (1, 1, 2, 2), (3, 0, 0)])
def test_an_image_has_three_dimensions_and_values(shape):
    with pytest.raises(CertificationError, match="must have shape"):
        checked_pixels(torch.zeros(shape))


def test_discrete_noise_needs_pixels_of_8_bits_and_pixels_are_a_copy_in_float32():
    with pytest.raises(CertificationError, match="8-bit"):
        checked_pixels(torch.full((1, 1, 1), 0.5), noise="discrete")
    pixels = checked_pixels(X_CHW.double())
    assert pixels.dtype == np.float32 and checked_pixels(X_CHW) is not X_CHW


@pytest.mark.parametrize(("bad", "said"), [((0.5, math.nan), "nan"), ((math.inf, math.nan), "inf")])
def test_one_pixel_that_is_not_finite_is_refused_among_others_that_are(bad, said):
    with pytest.raises(CertificationError, match=f"a pixel that is not finite: {said}"):
        checked_pixels(torch.tensor([[[0.25, *bad]]]))


LABEL_SETS = LabelSetSpec(
    radius=0.25, alpha=0.1, sigma=0.5, noise="gaussian", threshold=1.0, num_calibration_images=99, task="pets",
    backend="torch-cpu-float32",
)  # fmt: skip


def test_every_job_under_discrete_noise_needs_pixels_of_8_bits():
    half, smoothing = torch.full((1, 1, 1), 0.5), SmoothingSpec(sigma=0.5, n=100, noise="discrete")
    for make in (
        lambda: Certification("x", half, smoothing=smoothing, key=KEY),
        lambda: Prediction("x", half, sigma=0.5, n=100, alpha=0.001, key=KEY, noise="discrete"),
        lambda: LabelSetJob("x", half, spec=replace(LABEL_SETS, noise="discrete"), key=KEY),
    ):
        with pytest.raises(CertificationError, match="8-bit"):
            make()


JOBS = {
    "fixed": (lambda: certification(n=100), [False, False]),
    "at-radius": (lambda: certification(stopping=AtRadius(0.25, max_n=100)), [False, True]),
    "anytime": (lambda: certification(stopping=Anytime(100, 5.0)), [False, True]),
    "clean": (lambda: Certification("x", X_CHW, smoothing=SmoothingSpec(sigma=0.0), key=KEY), [False]),
    "prediction": (lambda: Prediction("x", X_CHW, sigma=0.5, n=100, alpha=0.001, key=KEY), [False]),
    "label set": (lambda: LabelSetJob("x", X_CHW, spec=LABEL_SETS, key=KEY), [False]),
}


@pytest.mark.parametrize("kind", JOBS)
def test_votes_change_what_follows_only_if_the_job_says_that_it_adapts_to_them(kind):
    make, adapts = JOBS[kind]
    job = make()
    taken = job.take(80)
    assert [job.adapts_to(draws) for draws in taken] == adapts
    for draws in taken:
        before = progress(job)
        job.record(draws, np.zeros((1, 3)) if kind == "label set" else np.zeros(draws.num, dtype=np.int64))
        assert (progress(job) != before) == job.adapts_to(draws)


def test_a_label_set_takes_one_draw_and_describes_its_image_unless_the_caller_does():
    job = LabelSetJob("x", X_CHW, spec=LABEL_SETS, key=KEY, input="said")
    assert progress(job) == (0, 1, 1, 1)
    assert places(job.take(64)) == [(ESTIMATION, 0, 1)]
    assert progress(job) == (1, 0, 0, 0) and job.result(backend="b").input == "said"
    assert LabelSetJob("x", X_CHW, spec=LABEL_SETS, key=KEY).result(backend="b").input == "3x2x2 in [0, 1]"
