"""Certificates can be believed: against a boundary that is exactly known, and against an attack on a network."""

import math

import pytest
import torch
from scipy import stats
from torch.nn import functional

from tests.zoo.smoothing.fakes import Threshold
from training.tasks import open_task
from zoo.preprocessing import prepare
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
PIXEL = 153 / 255
# Class 1 begins at level 128: rounding moves the boundary half a level down, which Gaussian noise does not see.
BOUNDARY = {"gaussian": 128 / 255, "discrete": 127.5 / 255}
RULES = {
    "fixed": lambda distance: FixedSample(100),
    "simultaneous": lambda distance: FixedSample(100, bound="simultaneous"),
    "anytime": lambda distance: Anytime(256, 0.0),
    "at-radius": lambda distance: AtRadius(math.nextafter(distance, 1), max_n=256),
}


def num_above_the_distance(rule, noise, *, alpha):
    """How many of RUNS certificates claim more than the exact distance between the image and the smoothed boundary."""
    distance = PIXEL - BOUNDARY[noise]
    smoothing = SmoothingSpec(sigma=SIGMA, n0=20, alpha=alpha, stopping=RULES[rule](distance), noise=noise)
    base = Threshold(at=128 / 255 - 1e-6)  # above level 127 even where float32 rounds level 128 down
    engine = CertificationEngine(NoisySampler(base, SamplingOptions(batch_size=4096)))
    for run in range(RUNS):
        x_CHW = torch.full((1, 1, 1), PIXEL)
        engine.admit(Certification(run, x_CHW, smoothing=smoothing, key=NoiseKey(1, run)))
    wrong = 0
    while engine.num_open:
        wrong += sum(finished.result.radius > distance for finished in engine.step())
    return wrong


@pytest.mark.parametrize("noise", ["gaussian", "discrete"])
@pytest.mark.parametrize("rule", RULES)
def test_at_most_a_share_alpha_of_certificates_exceeds_the_distance_and_some_do(rule, noise):
    alpha = 0.05
    assert 0 < num_above_the_distance(rule, noise, alpha=alpha) <= stats.binom.ppf(0.9999, RUNS, alpha)


@pytest.mark.parametrize("rule", RULES)
def test_the_same_test_notices_a_level_that_is_not_kept(rule):
    assert num_above_the_distance(rule, "discrete", alpha=0.9) > stats.binom.ppf(0.9999, RUNS, 0.05)


def test_the_discrete_boundary_is_half_a_level_below_the_first_level_of_the_class():
    """Claiming the Gaussian boundary for discrete noise would be off by half a level, and n = 40,000 draws show it."""
    smoothing = SmoothingSpec(sigma=SIGMA, n=10_000, noise="discrete", alpha=0.05)
    g = SmoothedClassifier(Threshold(at=128 / 255 - 1e-6), num_classes=2, smoothing=smoothing)
    certificate = g.certify(torch.full((1, 1, 1), 255 / 255), generator=torch.Generator().manual_seed(0))
    assert certificate.count_a / 10_000 == pytest.approx(stats.norm.cdf(127.5 / 255 / SIGMA), abs=4e-3)
    near = g.certify(torch.full((1, 1, 1), 128 / 255), generator=torch.Generator().manual_seed(0))
    assert near.count_a / 10_000 == pytest.approx(stats.norm.cdf(0.5 / 255 / SIGMA), abs=16e-3)


def attacked(network, x_CHW, label, *, radius, generator, steps=15, num_draws=32):
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


def test_an_attack_within_the_certified_ball_flips_nothing_and_one_far_outside_does(digits_checkpoint, tmp_path):
    task, network = open_task("digits", data_dir=tmp_path), digits_checkpoint.load_network()
    generator = torch.Generator().manual_seed(0)
    g = SmoothedClassifier(network, num_classes=10, smoothing=SmoothingSpec(sigma=0.5, n=1000))
    num_attacked = num_flipped = num_flipped_outside = 0
    for index in range(0, 60, 5):
        x_CHW = prepare(task.test[index], digits_checkpoint.spec.preprocessing)
        certificate = g.certify(x_CHW, generator=generator)
        if certificate.label is None:
            continue
        num_attacked += 1
        inside, outside = (
            attacked(network, x_CHW, certificate.label, radius=certificate.radius * factor, generator=generator)
            for factor in (0.999, 5)
        )
        assert float((inside - x_CHW).norm()) < certificate.radius
        num_flipped += g.predict(inside, n=300, generator=generator) not in (certificate.label, None)
        num_flipped_outside += g.predict(outside, n=300, generator=generator) not in (certificate.label, None)
    assert num_attacked >= 8
    assert num_flipped == 0 < num_flipped_outside
