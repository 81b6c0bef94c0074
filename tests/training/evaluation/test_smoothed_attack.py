"""Attacking the smoothed classifier, beside what is certified of it."""

import math

import pytest
import torch
from torch import nn

from training.attacks.smoothed import smoothed_pgd
from training.evaluation.attack_targets import SmoothedAttackTarget, attack_target_for
from training.evaluation.attacks import find_attack
from training.threat import ThreatModel
from zoo.smoothing import SmoothedClassifier, SmoothingSpec, TorchBackend
from zoo.smoothing.certificate import certified_radius

SHAPE = (3, 4, 4)
SIGMA = 0.25


class HalfSpace(nn.Module):
    """Class 1 where the mean pixel is above 0.5: smoothed, it has the same plane between its classes."""

    def __init__(self):
        super().__init__()
        self.sharpness = nn.Parameter(torch.tensor(20.0))

    def forward(self, x_BCHW):
        margin_B = (x_BCHW - 0.5).flatten(1).sum(dim=1) / math.sqrt(math.prod(SHAPE))
        return torch.stack([torch.zeros_like(margin_B), self.sharpness * margin_B], dim=1)


def at_distance(*distances):
    """Images on the side of class 1, at these l2 distances from the plane."""
    return torch.stack([torch.full(SHAPE, 0.5 + distance / math.sqrt(math.prod(SHAPE))) for distance in distances])


def attack_of(epsilon, *, n=1000, num_noise_samples=16):
    return find_attack(
        "smoothed-pgd", ThreatModel(epsilon=epsilon), num_classes=2, seed=0, sigma=SIGMA, n=n,
        num_noise_samples=num_noise_samples, num_steps=10,
    )  # fmt: skip


def two_classes(network):
    return TorchBackend(network, num_classes=2)


def rows_of(x_BCHW, *, epsilon, numbers=None, labels=None, **settings):
    target = attack_target_for(two_classes(HalfSpace()), attack_of(epsilon, **settings), batch_size=256)
    assert isinstance(target, SmoothedAttackTarget)
    numbers_B = torch.arange(len(x_BCHW)) if numbers is None else torch.tensor(numbers)
    return target.rows(x_BCHW, torch.ones(len(x_BCHW), dtype=torch.int64) if labels is None else labels, numbers_B)


def test_the_change_goes_straight_to_the_plane_and_stays_in_ball_and_box():
    x_BCHW = at_distance(0.1, 0.3)
    answer = smoothed_pgd(
        HalfSpace(), x_BCHW, torch.ones(2, dtype=torch.int64), sigma=SIGMA, num_noise_samples=8,
        threat=ThreatModel(epsilon=0.2), num_steps=10, step_size=0.05, generator=torch.Generator().manual_seed(0),
        numbers_B=torch.arange(2),
    )  # fmt: skip
    change = (answer.double() - x_BCHW.double()).flatten(1)
    assert bool((change.norm(dim=1) <= 0.2).all()) and bool((change.norm(dim=1) > 0.199).all())
    expected = torch.full_like(change, -0.2 / math.sqrt(math.prod(SHAPE)))
    torch.testing.assert_close(change, expected, atol=1e-6, rtol=0)


def test_an_image_is_broken_where_the_boundary_is_within_epsilon_and_only_there():
    distances = (0.05, 0.1, 0.19, 0.35, 0.5)
    rows = rows_of(at_distance(*distances), epsilon=0.3)
    assert [row.predict for row in rows] == [1] * 5 and all(row.clean_correct for row in rows)
    assert [row.robust for row in rows] == [False, False, False, True, True]
    assert [row.attacked_predict for row in rows[:3]] == [0] * 3
    assert all(0.299 < row.distance <= 0.3 for row in rows)


def test_an_abstention_breaks_nothing_and_a_wrong_answer_does():
    """On the plane either class has half of the draws; on its other side the clean answer is wrong already."""
    on_plane, beyond = rows_of(at_distance(0.0, -0.4), epsilon=0.0)
    assert (on_plane.predict, on_plane.clean_correct, on_plane.robust) == (-1, False, True)
    assert (beyond.predict, beyond.clean_correct, beyond.robust, beyond.distance) == (0, False, False, 0.0)


def test_its_upper_bound_is_above_the_certified_lower_bound():
    """Image by image: what is certified beyond epsilon is never broken, since PREDICT errs once in 1,000."""
    epsilon, distances = 0.3, torch.linspace(0.02, 0.62, 13).tolist()
    x_BCHW = at_distance(*distances)
    rows = rows_of(x_BCHW, epsilon=epsilon)
    g = SmoothedClassifier(HalfSpace(), num_classes=2, smoothing=SmoothingSpec(sigma=SIGMA, n=2000))
    generator = torch.Generator().manual_seed(1)
    certificates = [g.certify(x_CHW, generator=generator) for x_CHW in x_BCHW]
    certified = [each.label == 1 and each.radius >= epsilon for each in certificates]
    assert all(row.robust for row, is_certified in zip(rows, certified, strict=True) if is_certified)
    assert 3 <= sum(certified) <= sum(row.robust for row in rows) <= 8
    exact = certified_radius(0.5 * (1 + math.erf(0.4 / SIGMA / math.sqrt(2))), SIGMA)
    assert exact == pytest.approx(0.4, abs=1e-6)  # the radius of a half-space is the distance: what the sizes rest on


def test_an_image_is_attacked_and_answered_alike_in_any_company():
    x_BCHW = at_distance(0.0, 0.3, 0.31, 0.5)
    whole = rows_of(x_BCHW, epsilon=0.3, numbers=[0, 7, 8, 9])
    (alone,) = rows_of(x_BCHW[2:3], epsilon=0.3, numbers=[8])
    assert (alone.predict, alone.attacked_predict, alone.robust) == (
        whole[2].predict,
        whole[2].attacked_predict,
        whole[2].robust,
    )


def test_the_noise_of_a_gradient_and_the_copies_of_a_batch_fit_the_batch_size():
    seen = []

    class Watched(HalfSpace):
        def forward(self, x_BCHW):
            seen.append(len(x_BCHW))
            return super().forward(x_BCHW)

    target = attack_target_for(two_classes(Watched()), attack_of(0.3, num_noise_samples=16), batch_size=64)
    assert target.batch_size == 4
    target.rows(at_distance(0.1, 0.2, 0.3, 0.4), torch.ones(4, dtype=torch.int64), torch.arange(4))
    assert max(seen) == 64
