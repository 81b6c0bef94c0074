"""Certificates can be believed: against a boundary that is exactly known, and against an attack on a network."""

import math

import pytest
import torch
from scipy import stats
from torch.nn import functional

from benchmarks.known_distances import HALF_SPACE, PLURALITY, RULES, THREE_PLANES, certificates, is_false
from tests.zoo.smoothing.fakes import Threshold
from training.tasks import open_task
from zoo.loading.backend import open_backend
from zoo.models.preprocessing import prepare
from zoo.smoothing import (
    Anytime,
    AtRadius,
    FixedSample,
    SmoothedClassifier,
    SmoothingSpec,
)

RUNS, N = 100, 40
NOISES = ["gaussian", "discrete"]


def counted(planes, rule, noise="gaussian", *, alpha, n):
    """The numbers of false certificates and of certificates."""
    found = certificates(planes, rule, noise, alpha=alpha, n=n, runs=RUNS)
    assert len(found) == RUNS
    return sum(is_false(each, planes.distance(noise)) for each in found), sum(not each.abstained for each in found)


def most_allowed(alpha):
    return stats.binom.ppf(0.9999, RUNS, alpha)


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("rule", RULES)
def test_at_most_a_share_alpha_of_certificates_exceeds_the_distance_and_some_do(rule, noise):
    num_false, _ = counted(HALF_SPACE, rule, noise, alpha=0.1, n=N)
    assert 0 < num_false <= most_allowed(0.1)


@pytest.mark.parametrize("rule", RULES)
def test_the_same_test_notices_a_level_that_is_not_kept(rule):
    assert counted(HALF_SPACE, rule, "discrete", alpha=0.9, n=N)[0] > most_allowed(0.1)


def test_the_discrete_boundary_is_half_a_level_below_the_first_level_of_the_class():
    """At sigma 0.01 half a level is 0.2 sigma, so that taking the Gaussian boundary would be noticed."""
    smoothing = SmoothingSpec(sigma=0.01, n=10_000, noise="discrete", alpha=0.05)
    g = SmoothedClassifier(Threshold(at=128 / 255 - 1e-6), num_classes=2, smoothing=smoothing)
    share = g.certify(torch.full((1, 1, 1), 128 / 255), generator=torch.Generator().manual_seed(0)).count_a / 10_000
    deviation = math.sqrt(0.25 / 10_000)
    assert abs(share - stats.norm.cdf(0.5 / 255 / 0.01)) < 4 * deviation < abs(share - stats.norm.cdf(0))


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("rule", RULES)
def test_at_most_a_share_alpha_of_certificates_exceeds_the_distance_between_three_planes(rule, noise):
    """With the runner-up at its exact probability. `benchmarks.false_certificates` has more runs and draws."""
    num_false, num_certified = counted(THREE_PLANES, rule, noise, alpha=0.05, n=N)
    assert num_false <= most_allowed(0.05)
    assert rule.startswith("at-radius") or num_certified > 0


@pytest.mark.parametrize("rule", ["fixed, simultaneous", "at-radius, tangent-bets"])
def test_between_three_planes_a_level_that_is_not_kept_is_noticed_too(rule):
    assert counted(THREE_PLANES, rule, alpha=0.99, n=N)[0] > most_allowed(0.05)


def test_equation_2_certifies_a_plurality_and_the_one_sided_bound_does_not():
    num_false, num_certified = counted(PLURALITY, "fixed, simultaneous", alpha=0.05, n=400)
    assert num_false <= most_allowed(0.05) and num_certified > 50
    assert counted(PLURALITY, "fixed, clopper-pearson", alpha=0.05, n=400) == (0, 0)


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
