"""Certificates can be believed: against a boundary that is exactly known, and against an attack on a network."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch.nn import functional

from tests.zoo.smoothing.fakes import Threshold
from training.tasks import open_task
from zoo.loading.backend import open_backend
from zoo.models.preprocessing import prepare
from zoo.smoothing import (
    Anytime,
    AtRadius,
    Certification,
    CertificationEngine,
    FixedSample,
    NoiseKey,
    NoisySampler,
    SamplingOptions,
    SmoothedClassifier,
    SmoothingSpec,
)

SIGMA, RUNS = 0.25, 300
MOST = int(stats.binom.ppf(0.9999, RUNS, 0.05))
"""At a level of 0.05, more of RUNS certificates are wrong in one test of 10,000."""
PIXEL = 153 / 255
# Class 1 begins at level 128: rounding moves the boundary half a level down, which Gaussian noise does not see.
BOUNDARY = {"gaussian": 128 / 255, "discrete": 127.5 / 255}
RULES = {
    "fixed": lambda distance: FixedSample(100),
    "simultaneous": lambda distance: FixedSample(100, bound="simultaneous"),
    "anytime": lambda distance: Anytime(256, 0.0),
    "at-radius": lambda distance: AtRadius(math.nextafter(distance, 1), max_n=256),
}


def certified(base, pixel, smoothing, *, root):
    """The results of RUNS certifications of one pixel, as they come; the engine has 50 of them open at a time."""
    engine = CertificationEngine(NoisySampler(base, SamplingOptions(batch_size=4096)))
    for run in range(RUNS):
        x_CHW = torch.full((1, 1, 1), pixel)
        engine.admit(Certification(run, x_CHW, smoothing=smoothing, key=NoiseKey(root, run)))
        while engine.num_open >= 50 or (engine.num_open and run == RUNS - 1):
            yield from [finished.result for finished in engine.step()]


def num_above_the_distance(rule, noise, *, alpha, until=RUNS):
    """How many of RUNS certificates claim more than the exact distance between the image and the smoothed boundary.

    The count ends as soon as it is above `until`.
    """
    distance = PIXEL - BOUNDARY[noise]
    smoothing = SmoothingSpec(sigma=SIGMA, n0=20, alpha=alpha, stopping=RULES[rule](distance), noise=noise)
    base = Threshold(at=128 / 255 - 1e-6)  # above level 127 even where float32 rounds level 128 down
    wrong = 0
    for result in certified(base, PIXEL, smoothing, root=1):
        wrong += result.radius > distance
        if wrong > until:
            break
    return wrong


@pytest.mark.parametrize("noise", ["gaussian", "discrete"])
@pytest.mark.parametrize("rule", RULES)
def test_at_most_a_share_alpha_of_certificates_exceeds_the_distance_and_some_do(rule, noise):
    assert 0 < num_above_the_distance(rule, noise, alpha=0.05) <= MOST


@pytest.mark.parametrize("rule", RULES)
def test_the_same_test_notices_a_level_that_is_not_kept(rule):
    assert num_above_the_distance(rule, "discrete", alpha=0.9, until=MOST) > MOST


def test_the_discrete_boundary_is_half_a_level_below_the_first_level_of_the_class():
    """At sigma 0.01 half a level is 0.2 sigma, so that taking the Gaussian boundary would be noticed."""
    smoothing = SmoothingSpec(sigma=0.01, n=10_000, noise="discrete", alpha=0.05)
    g = SmoothedClassifier(Threshold(at=128 / 255 - 1e-6), num_classes=2, smoothing=smoothing)
    share = g.certify(torch.full((1, 1, 1), 128 / 255), generator=torch.Generator().manual_seed(0)).count_a / 10_000
    deviation = math.sqrt(0.25 / 10_000)
    assert abs(share - stats.norm.cdf(0.5 / 255 / 0.01)) < 4 * deviation < abs(share - stats.norm.cdf(0))


class Slopes:
    """Three classes along the first pixel: 1 at or above `at`, 2 below a point further down, 0 in between."""

    name, num_classes, depends_on_batch_shape, draws_on = "slopes", 3, False, torch.device("cpu")

    def classify(self, x_BCHW):
        pixel_B = x_BCHW[:, 0, 0, 0].numpy()
        return np.where(pixel_B >= 0.52, 1, np.where(pixel_B < 0.36, 2, 0))


def num_above_the_distance_to_the_runner_up(bound, *, alpha, until=RUNS):
    """Class 1 wins where the image lies above the middle of 0.52 and 0.36: as likely as class 2, more than class 0.

    The count ends as soon as more than `until` radii are above the distance.
    """
    pixel, boundary = 0.5, (0.52 + 0.36) / 2
    smoothing = SmoothingSpec(sigma=SIGMA, n0=50, alpha=alpha, stopping=FixedSample(400, bound=bound))
    num_above = num_certified = 0
    for result in certified(Slopes(), pixel, smoothing, root=2):
        num_above += result.label == 1 and result.radius > pixel - boundary
        num_certified += result.label == 1 and result.radius > 0
        if num_above > until:
            break
    return num_above, num_certified


def test_equation_2_certifies_a_plurality_and_exceeds_the_distance_to_the_runner_up_in_at_most_a_share_alpha():
    wrong, certified = num_above_the_distance_to_the_runner_up("simultaneous", alpha=0.05)
    assert wrong <= MOST and certified > 0
    assert num_above_the_distance_to_the_runner_up("clopper-pearson", alpha=0.05)[1] == 0
    assert num_above_the_distance_to_the_runner_up("simultaneous", alpha=0.99, until=MOST)[0] > MOST


def attacked(network, x_CHW, label, *, radius, generator, steps, num_draws=32):
    """The image after projected gradient ascent on the smoothed loss, within `radius` and [0, 1]."""
    delta_CHW = torch.zeros_like(x_CHW)
    for _ in range(steps):
        delta_CHW.requires_grad_(True)
        noise_MCHW = torch.randn(num_draws, *x_CHW.shape, generator=generator) * 0.5
        probabilities_K = functional.softmax(network(x_CHW + delta_CHW + noise_MCHW), dim=1).mean(dim=0)
        (gradient_CHW,) = torch.autograd.grad(-probabilities_K[label].log(), delta_CHW)
        delta_CHW = delta_CHW.detach() + gradient_CHW / gradient_CHW.norm() * radius / 4
        delta_CHW *= min(1.0, radius / float(delta_CHW.norm()))
        delta_CHW = (x_CHW + delta_CHW).clamp(0, 1) - x_CHW  # only shortens it
    return x_CHW + delta_CHW


@pytest.mark.slow
def test_an_attack_within_the_certified_ball_flips_nothing_and_one_far_outside_does(digits_checkpoint, tmp_path):
    """The attacked ball is the largest that any rule certifies, so it contains those of the other rules.

    The classifier runs on the backend that certifies on CPUs; the attack has the gradients of its network.
    """
    task, network = open_task("digits", data_dir=tmp_path), digits_checkpoint.load_network()
    base, generator = open_backend(digits_checkpoint), torch.Generator().manual_seed(0)
    smoothed = [
        SmoothedClassifier(base, num_classes=10, smoothing=SmoothingSpec(sigma=0.5, stopping=stopping))
        for stopping in (FixedSample(1000), AtRadius(0.5), Anytime(1000, 0.1))
    ]
    num_certified = dict.fromkeys(range(len(smoothed)), 0)
    num_flipped = num_flipped_outside = 0
    for index in range(0, 60, 5):
        x_CHW = prepare(task.test[index], digits_checkpoint.spec.preprocessing)
        certificates = [g.certify(x_CHW, generator=generator) for g in smoothed]
        labels = {certificate.label for certificate in certificates} - {None}
        if not labels:
            continue
        (label,) = labels
        radius = max(certificate.radius for certificate in certificates)
        for number, certificate in enumerate(certificates):
            num_certified[number] += certificate.label is not None
        inside, outside = (
            attacked(network, x_CHW, label, radius=radius * factor, generator=generator, steps=steps)
            for factor, steps in ((0.999, 15), (5, 4))  # far outside, a few steps are enough
        )
        assert float((inside - x_CHW).norm()) < radius
        num_flipped += smoothed[0].predict(inside, n=300, generator=generator).label not in (label, None)
        num_flipped_outside += smoothed[0].predict(outside, n=300, generator=generator).label not in (label, None)
    assert min(num_certified.values()) >= 8
    assert num_flipped == 0 < num_flipped_outside
