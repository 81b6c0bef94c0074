"""AutoAttack by pyautoattack: for any number of classes, inside the ball, and without a trace in global state."""

import math

import pytest
import torch

from training.attacks.autoattack import attacks_for, autoattack, notes_for, num_targets
from training.threat import ThreatModel

pytest.importorskip("pyautoattack")
SHAPE = (3, 4, 4)


@pytest.fixture
def quick(monkeypatch):
    """Without Square, which asks 5,000 times."""
    monkeypatch.setattr("training.attacks.autoattack.STANDARD", ("apgd-ce", "apgd-t", "fab-t"))


def network_of(num_classes):
    generator = torch.Generator().manual_seed(2)
    weight_KD = 8 * torch.randn(num_classes, math.prod(SHAPE), generator=generator)
    return lambda x_BCHW: torch.tanh((x_BCHW - 0.5).flatten(1) @ weight_KD.T / 8) * 8


def attacked(num_classes, *, epsilon, norm="l2", size=12):
    network = network_of(num_classes)
    x_BCHW = torch.rand(size, *SHAPE, generator=torch.Generator().manual_seed(1))
    labels_B = network(x_BCHW).argmax(dim=1)
    threat = ThreatModel(norm=norm, epsilon=epsilon)
    answer = autoattack(network, x_BCHW, labels_B, threat=threat, seed=0)
    return x_BCHW, answer, network(answer).argmax(dim=1) == labels_B


@pytest.mark.parametrize(("num_classes", "epsilon"), [(2, 0.2), (3, 0.2), (4, 0.2), (12, 0.05)])
def test_any_number_of_classes_is_attacked_whether_images_survive_or_not(num_classes, epsilon, quick):
    x_BCHW, answer, is_robust_B = attacked(num_classes, epsilon=epsilon)
    assert 0 < int(is_robust_B.sum()) < 12  # the attacks after the first have had survivors to look at
    change_BD = (answer.double() - x_BCHW.double()).flatten(1)
    assert change_BD.norm(dim=1).max().item() <= epsilon and answer.min().item() >= 0 and answer.max().item() <= 1
    assert torch.equal(answer[is_robust_B], x_BCHW[is_robust_B])
    assert not bool(attacked(num_classes, epsilon=4.0)[2].any())


def test_in_linf_too_and_with_square(monkeypatch):
    monkeypatch.setattr("training.attacks.autoattack.STANDARD", ("square",))
    x_BCHW, answer, is_robust_B = attacked(3, epsilon=0.1, norm="linf", size=4)
    assert (answer.double() - x_BCHW.double()).abs().max().item() <= 0.1 and not bool(is_robust_B.all())


def test_global_random_state_is_left_alone_and_the_seed_decides(quick):
    before = torch.random.get_rng_state()
    first, second = (attacked(3, epsilon=0.2)[1] for _ in range(2))
    assert torch.equal(torch.random.get_rng_state(), before) and torch.equal(first, second)


def test_what_the_classes_do_not_allow_is_left_out_and_said():
    assert attacks_for(10) == ("apgd-ce", "apgd-t", "fab-t", "square") and num_targets(10) == 9
    assert attacks_for(3) == ("apgd-ce", "fab-t", "square") and num_targets(3) == 2
    assert notes_for(4) == ("apgd-ce, apgd-t, fab-t, square; number of targets 3",)
    assert notes_for(2) == (
        "apgd-ce, fab-t, square; number of targets 1",
        "apgd-t left out: its loss looks at four logits, and there are 2 classes",
    )
