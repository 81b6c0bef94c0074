"""MACER against equation 11 of Zhai et al. 2020, with its filter of images whose margin is not finite."""

import pytest
import torch

from tests.training.objectives import by_hand
from tests.training.objectives.samples import noises_of_images, noisy_logits, rng
from training.objectives import Batch, Progress
from training.objectives.macer import Macer


def expected_loss(model, batch, *, sigma, m, lbd, beta=16.0, gamma=8.0):
    """The loss, and how many images are in S."""
    logits_MBK = noisy_logits(model, list(batch.x_BCHW), noises_of_images(batch, sigma=sigma, m=m))
    return by_hand.macer(logits_MBK, batch.labels_B.tolist(), sigma=sigma, lbd=lbd, beta=beta, gamma=gamma)


@pytest.mark.parametrize("m", [1, 2, 5, 16])
@pytest.mark.parametrize(("lbd", "beta", "gamma"), [(4.0, 16.0, 8.0), (12.0, 1.0, 8.0), (6.0, 1.0, 0.7)])
def test_macer_equals_the_computation_by_hand(m, lbd, beta, gamma, smooth, batch, late):
    objective = Macer(sigma=0.5, m=m, lbd=lbd, beta=beta, gamma=gamma)
    loss = objective(smooth, batch, progress=late, generator=rng()).loss
    expected, _ = expected_loss(smooth, batch, sigma=0.5, m=m, lbd=lbd, beta=beta, gamma=gamma)
    assert loss.item() == pytest.approx(expected, abs=1e-5)


def test_the_cases_above_hold_images_in_s_and_outside(smooth, batch):
    members = [
        expected_loss(smooth, batch, sigma=0.5, m=m, lbd=4.0, beta=beta, gamma=gamma)[1]
        for m in (1, 2, 5, 16)
        for beta, gamma in ((16.0, 8.0), (1.0, 8.0), (1.0, 0.7))
    ]
    assert max(members) > 0 and min(members) < max(members) <= 3


def test_without_lambda_macer_is_cross_entropy_of_the_soft_smoothed_classifier(smooth, batch, late):
    output = Macer(sigma=0.5, m=4, lbd=0.0)(smooth, batch, progress=late, generator=rng())
    total = 0.0
    noises = noises_of_images(batch, sigma=0.5, m=4)
    for x_CHW, label, own in zip(batch.x_BCHW, batch.labels_B.tolist(), noises, strict=True):
        total -= torch.log(by_hand.smoothed(smooth, x_CHW, own)[label] + 1e-10)
    assert output.loss.item() == pytest.approx(total.item() / 4, abs=1e-6)


def test_the_robustness_term_is_deferred(smooth, batch):
    objective = Macer(sigma=0.5, m=4, beta=1.0, deferred_epochs=2.0)
    without, _ = expected_loss(smooth, batch, sigma=0.5, m=4, lbd=0.0)
    with_it, _ = expected_loss(smooth, batch, sigma=0.5, m=4, lbd=4.0, beta=1.0)
    assert with_it > without + 0.1
    for epochs, expected in ((0.0, without), (1.9, without), (2.0, with_it), (7.0, with_it)):
        loss = objective(smooth, batch, progress=Progress(epochs=epochs), generator=rng()).loss
        assert loss.item() == pytest.approx(expected, abs=1e-5)


def test_without_noise_only_cross_entropy_is_left(smooth, batch, late):
    loss = Macer(sigma=0.0, m=3)(smooth, batch, progress=late, generator=rng()).loss
    expected = by_hand.mean_cross_entropy(smooth(batch.x_BCHW), batch.labels_B.tolist())
    assert loss.item() == pytest.approx(expected.item(), abs=1e-5)


@pytest.mark.parametrize("scale", [0.0, 10.0, 100.0, 1e4])
def test_certain_predictions_are_out_of_s_and_leave_the_gradient_finite(scale, batch, late):
    logits_K = torch.tensor([scale, 0.0, -scale], requires_grad=True)
    loss = Macer()(lambda x_BCHW: logits_K.repeat(len(x_BCHW), 1), batch, progress=late, generator=rng()).loss
    loss.backward()
    assert torch.isfinite(loss) and bool(logits_K.grad.isfinite().all())


@pytest.mark.parametrize("is_right", [True, False])
def test_a_certain_image_does_not_spoil_the_gradient_of_the_others(is_right, smooth, batch, late):
    """The first image is brighter by far than any noise, and the network certain of such images."""
    bright = batch.x_BCHW + torch.tensor([100.0, 0.0, 0.0, 0.0]).view(4, 1, 1, 1)
    winner = batch.labels_B[0] if is_right else batch.labels_B[0] - 1
    push_K = 1e3 * torch.nn.functional.one_hot(winner, 3)

    def model(x_BCHW):
        is_bright_B1 = x_BCHW.mean(dim=(1, 2, 3)).view(-1, 1) > 50
        return smooth(x_BCHW - 100.0 * is_bright_B1.view(-1, 1, 1, 1)) + push_K * is_bright_B1

    batch = Batch(bright, batch.labels_B, batch.numbers_B)
    loss = Macer(sigma=0.1, m=4, beta=4.0)(model, batch, progress=late, generator=rng()).loss
    loss.backward()
    assert torch.isfinite(loss) and smooth.inner.grad.abs().max().item() > 1e-3
    assert bool(smooth.inner.grad.isfinite().all())


def test_the_hinge_pulls_the_margin_of_a_right_answer_up(batch, late):
    """In S the loss falls with the margin; with lambda 0 it falls more slowly."""
    slopes = []
    for lbd in (0.0, 4.0):
        logit = torch.tensor(0.05, dtype=torch.float64, requires_grad=True)

        def model(x_BCHW, logit=logit):
            return torch.stack([logit, -logit, logit - 5]).repeat(len(x_BCHW), 1)

        right = Batch(batch.x_BCHW, torch.zeros(4, dtype=torch.int64), batch.numbers_B)
        Macer(lbd=lbd, m=2)(model, right, progress=late, generator=rng()).loss.backward()
        slopes.append(logit.grad.item())
    assert slopes[1] < 3 * slopes[0] < 0
