"""The smoothed classifier against a base classifier whose smoothed boundary is exactly known."""

import pytest
import torch
from torch import nn

from zoo.errors import CertificationError
from zoo.smoothing import SmoothedClassifier, SmoothingSpec


def half_space(*, at: float):
    """Class 1 where the first pixel is above `at`: smoothed by Gaussian noise, its boundary is the same plane."""

    def base(x_BCHW):
        margin_B = x_BCHW[:, 0, 0, 0] - at
        return torch.stack([-margin_B, margin_B], dim=1)

    return base


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def test_certified_radius_stays_below_the_distance_to_a_half_space():
    x_CHW = torch.full((1, 1, 1), 0.8)  # the boundary is pixel = 0.5, so the exact radius is 0.3
    g = SmoothedClassifier(half_space(at=0.5), num_classes=2, smoothing=SmoothingSpec(sigma=0.25, n=10_000))
    certificate = g.certify(x_CHW, generator=rng())
    assert certificate.label == 1 and 0.27 < certificate.radius <= 0.3


def test_an_image_on_the_boundary_is_abstained_from():
    g = SmoothedClassifier(half_space(at=0.5), num_classes=2, smoothing=SmoothingSpec(sigma=0.25, n=1000))
    x_CHW = torch.full((1, 1, 1), 0.5)
    assert g.certify(x_CHW, generator=rng()).abstained
    assert g.predict(x_CHW, n=100, generator=rng()).abstained


def test_equal_generators_give_equal_certificates_and_a_generator_moves_on():
    g = SmoothedClassifier(half_space(at=0.5), num_classes=2, smoothing=SmoothingSpec(sigma=0.25, n=500))
    x_CHW = torch.full((1, 1, 1), 0.6)
    assert g.certify(x_CHW, generator=rng(3)) == g.certify(x_CHW, generator=rng(3))
    generator = rng(3)
    assert len({g.certify(x_CHW, generator=generator).count_a for _ in range(5)}) > 1


def test_sigma_zero_evaluates_the_clean_classifier_once():
    calls = []

    def base(x_BCHW):
        calls.append(x_BCHW)
        return half_space(at=0.5)(x_BCHW)

    g = SmoothedClassifier(base, num_classes=2, smoothing=SmoothingSpec(sigma=0.0))
    certificate = g.certify(torch.full((1, 1, 1), 0.51), generator=rng())
    assert (certificate.label, certificate.radius, certificate.n) == (1, 0.0, 1)
    assert len(calls) == 1
    assert g.predict(torch.full((1, 1, 1), 0.49), generator=rng()).label == 0


def test_a_module_is_evaluated_in_eval_mode_and_left_in_its_own():
    class Modal(nn.Module):
        def forward(self, x_BCHW):
            assert not self.training
            return half_space(at=0.5)(x_BCHW)

    base = Modal().train()
    g = SmoothedClassifier(base, num_classes=2, smoothing=SmoothingSpec(sigma=0.25, n=100))
    g.certify(torch.full((1, 1, 1), 0.9), generator=rng())
    assert base.training


def test_a_child_in_train_mode_is_evaluated_in_eval_mode_and_left_in_its_own():
    base = nn.Sequential(nn.Flatten(), nn.Dropout(0.9), nn.Linear(1, 2)).eval()
    base[1].train()
    with torch.no_grad():
        base[2].weight.copy_(torch.tensor([[-1.0], [1.0]]))
        base[2].bias.copy_(torch.tensor([0.5, -0.5]))
    g = SmoothedClassifier(base, num_classes=2, smoothing=SmoothingSpec(sigma=0.25, n=1000))
    assert g.certify(torch.full((1, 1, 1), 0.9), generator=rng()).count_a > 900
    assert [module.training for module in base] == [False, True, False]


@pytest.mark.parametrize(
    ("base", "said"),
    [
        (lambda x_BCHW: torch.full((len(x_BCHW), 2), float("nan")), "not finite"),
        (lambda x_BCHW: torch.zeros(len(x_BCHW), 3), "expected"),
    ],
)
def test_logits_that_are_not_finite_or_of_a_wrong_shape_are_refused(base, said):
    g = SmoothedClassifier(base, num_classes=2, smoothing=SmoothingSpec(sigma=0.25, n=100))
    with pytest.raises(CertificationError, match=said):
        g.certify(torch.zeros(1, 1, 1), generator=rng())
