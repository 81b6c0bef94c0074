"""Consistency regularization against equations 8 and 9 of Jeong and Shin 2020, a scalar at a time."""

import pytest
import torch

from tests.training.objectives import by_hand
from tests.training.objectives.samples import assert_same, gradients, noises_of_images, noisy_logits, rng
from training.objectives import Progress
from training.objectives.consistency import Consistency


def expected_loss(smooth, batch, *, sigma=0.5, m=2, lbd=5.0, eta=0.5, weight=1.0):
    logits_MBK = noisy_logits(smooth, list(batch.x_BCHW), noises_of_images(batch, sigma=sigma, m=m))
    return by_hand.consistency(logits_MBK, batch.labels_B.tolist(), lbd=lbd, eta=eta, weight=weight)


@pytest.mark.parametrize("m", [1, 2, 3])
@pytest.mark.parametrize(("lbd", "eta"), [(5.0, 0.5), (0.0, 0.5), (20.0, 0.0), (0.0, 0.0)])
def test_consistency_equals_the_computation_by_hand(m, lbd, eta, smooth, batch, late):
    loss = Consistency(sigma=0.5, m=m, lbd=lbd, eta=eta)(smooth, batch, progress=late, generator=rng()).loss
    expected = expected_loss(smooth, batch, m=m, lbd=lbd, eta=eta)
    assert loss.item() == pytest.approx(expected.item(), abs=1e-5)
    assert_same(gradients(smooth, loss), gradients(smooth, expected))


def test_the_defaults_are_those_of_the_transfer_study(smooth, batch, late):
    loss = Consistency()(smooth, batch, progress=late, generator=rng()).loss
    assert loss.item() == pytest.approx(expected_loss(smooth, batch).item(), abs=1e-5)


def test_the_weight_of_the_regularizer_rises_over_its_warmup(smooth, batch):
    objective = Consistency(sigma=0.5, warmup_epochs=4.0)
    for epochs, weight in ((0.0, 0.0), (1.0, 0.25), (2.5, 0.625), (4.0, 1.0), (9.0, 1.0)):
        loss = objective(smooth, batch, progress=Progress(epochs=epochs), generator=rng()).loss
        assert loss.item() == pytest.approx(expected_loss(smooth, batch, weight=weight).item(), abs=1e-5)


def test_without_warmup_the_weight_is_1_from_the_start(smooth, batch, late):
    first = Consistency()(smooth, batch, progress=Progress(epochs=0.0), generator=rng()).loss
    assert torch.equal(first, Consistency()(smooth, batch, progress=late, generator=rng()).loss)


@pytest.mark.parametrize("objective", [Consistency(sigma=0.0), Consistency(m=1)])
def test_one_copy_or_no_noise_leaves_nothing_to_disagree_about(objective, smooth, batch, late):
    output = objective(smooth, batch, progress=late, generator=rng())
    assert output.metrics["divergence"].item() == pytest.approx(0, abs=1e-6)
    apart = Consistency(m=2)(smooth, batch, progress=late, generator=rng())
    assert apart.metrics["divergence"].item() > 1e-3


def test_all_copies_share_one_forward_pass_in_train_mode(normalized, batch, late):
    Consistency(m=3)(normalized, batch, progress=late, generator=rng())
    assert normalized.modes == [True]


@pytest.mark.parametrize("scale", [1e2, 1e4])
def test_the_regularizer_stays_finite_for_certain_predictions(scale, batch, late):
    logits_K = torch.tensor([scale, -scale, 0.0], requires_grad=True)
    loss = Consistency()(lambda x_BCHW: logits_K.repeat(len(x_BCHW), 1), batch, progress=late, generator=rng()).loss
    loss.backward()
    assert torch.isfinite(loss) and bool(logits_K.grad.isfinite().all())


def test_the_regularizer_stays_finite_where_certain_predictions_disagree(batch, late):
    weight = torch.full((75, 3), 0.0)
    weight[0, 0], weight[0, 1] = 1e4, -1e4  # the sign of one noisy pixel decides, with certainty
    weight.requires_grad_()
    model = lambda x_BCHW: (x_BCHW.float().flatten(1) - 0.5) @ weight  # noqa: E731
    loss = Consistency()(model, batch, progress=late, generator=rng()).loss
    loss.backward()
    assert torch.isfinite(loss) and bool(weight.grad.isfinite().all())
