"""SmoothMix against equations 8 to 11 of Jeong et al. 2021."""

from copy import deepcopy

import pytest
import torch

from tests.training.objectives import by_hand
from tests.training.objectives.samples import assert_same, gradients, noises_of_images, noisy_logits, rng
from training.objectives import Batch, Progress
from training.objectives.objective import gaussian_copies
from training.objectives.smoothmix import SmoothMix
from training.streams import uniform_per_image


def drawn_shares(batch, *, sigma, m):
    """The shares of the adversarial image, drawn after the noise."""
    generator = rng()
    gaussian_copies(batch, sigma, m, generator)
    return (uniform_per_image(batch.numbers_B, generator, device=torch.device("cpu")) / 2).double().tolist()


def expected_loss(model, batch, *, sigma=0.25, m=2, num_steps=4, alpha=0.5, eta=5.0, weight=1.0, one_step=False):
    """The loss, and how many images the smoothed classifier gets right."""
    return by_hand.smoothmix(
        model,
        list(batch.x_BCHW),
        batch.labels_B.tolist(),
        noises_of_images(batch, sigma=sigma, m=m),
        num_steps=num_steps,
        alpha=alpha,
        eta=eta,
        weight=weight,
        shares=drawn_shares(batch, sigma=sigma, m=m),
        one_step=one_step,
    )


@pytest.mark.parametrize("one_step", [False, True])
@pytest.mark.parametrize(("m", "sigma"), [(1, 0.25), (2, 0.25), (3, 1.0), (2, 0.0)])
def test_smoothmix_equals_the_computation_by_hand(one_step, m, sigma, smooth, batch, late):
    objective = SmoothMix(sigma=sigma, m=m, alpha=0.5, one_step_adversary=one_step)
    loss = objective(smooth, batch, progress=late, generator=rng()).loss
    expected, _ = expected_loss(smooth, batch, sigma=sigma, m=m, one_step=one_step)
    assert loss.item() == pytest.approx(expected.item(), abs=1e-5)
    assert_same(gradients(smooth, loss), gradients(smooth, expected))  # through the mixed target too


@pytest.mark.parametrize("one_step", [False, True])
@pytest.mark.parametrize("epochs", [0.0, 100.0])
def test_at_the_edge_of_the_box_only_the_box_bounds_the_search(one_step, epochs, smooth, edge_batch):
    objective = SmoothMix(sigma=0.25, alpha=2.0, one_step_adversary=one_step)
    loss = objective(smooth, edge_batch, progress=Progress(epochs=epochs), generator=rng()).loss
    weight = 0.1 if epochs == 0 else 1.0
    expected, _ = expected_loss(smooth, edge_batch, alpha=2.0, one_step=one_step, weight=weight)
    assert loss.item() == pytest.approx(expected.item(), abs=1e-5)


def test_the_penalty_holds_for_images_that_the_smoothed_classifier_gets_right(smooth, batch, late):
    """Labels are chosen so that 0, some and all of the answers are right."""
    noises = noises_of_images(batch, sigma=0.25, m=2)
    means = [by_hand.smoothed(smooth, x, own) for x, own in zip(batch.x_BCHW, noises, strict=True)]
    answers = torch.tensor([torch.stack(mean).argmax().item() for mean in means])
    for num_right in (0, 2, 4):
        labels = torch.where(torch.arange(4) < num_right, answers, (answers + 1) % 3)
        relabelled = Batch(batch.x_BCHW, labels, batch.numbers_B)
        loss = SmoothMix(sigma=0.25, alpha=0.5)(smooth, relabelled, progress=late, generator=rng()).loss
        expected, counted = expected_loss(smooth, relabelled)
        plain, _ = expected_loss(smooth, relabelled, eta=0.0)
        assert counted == num_right and (expected.item() > plain.item() + 1e-3) == (num_right > 0)
        assert loss.item() == pytest.approx(expected.item(), abs=1e-5)


@pytest.mark.parametrize("one_step", [False, True])
def test_the_penalty_and_the_first_step_rise_epoch_by_epoch_over_the_warmup(one_step, smooth, batch):
    objective = SmoothMix(sigma=0.25, alpha=0.5, one_step_adversary=one_step, warmup_epochs=4)
    for epochs, weight in ((0.0, 0.25), (0.9, 0.25), (1.0, 0.5), (2.5, 0.75), (3.0, 1.0), (50.0, 1.0)):
        loss = objective(smooth, batch, progress=Progress(epochs=epochs), generator=rng()).loss
        expected, _ = expected_loss(smooth, batch, weight=weight, one_step=one_step)
        assert loss.item() == pytest.approx(expected.item(), abs=1e-5)


@pytest.mark.parametrize("m", [1, 2])
def test_without_eta_smoothmix_is_cross_entropy_on_noisy_copies(m, smooth, batch, late):
    loss = SmoothMix(sigma=0.5, m=m, eta=0.0)(smooth, batch, progress=late, generator=rng()).loss
    logits_MBK = noisy_logits(smooth, list(batch.x_BCHW), noises_of_images(batch, sigma=0.5, m=m))
    expected = by_hand.mean_cross_entropy(logits_MBK.flatten(0, 1), batch.labels_B.tolist() * m)
    assert loss.item() == pytest.approx(expected.item(), abs=1e-5)


def test_the_share_is_drawn_for_each_image_between_0_and_a_half(batch):
    shares = drawn_shares(batch, sigma=0.25, m=2)
    assert len(set(shares)) == 4 and 0 <= min(shares) <= max(shares) < 0.5


def test_another_share_would_be_seen(smooth, batch, late):
    """A negative control of the comparisons above: equal shares for all images give another loss."""
    loss = SmoothMix(sigma=0.25, alpha=0.5)(smooth, batch, progress=late, generator=rng()).loss
    same, _ = by_hand.smoothmix(
        smooth, list(batch.x_BCHW), batch.labels_B.tolist(), noises_of_images(batch, sigma=0.25, m=2),
        num_steps=4, alpha=0.5, eta=5.0, weight=1.0, shares=[drawn_shares(batch, sigma=0.25, m=2)[0]] * 4,
    )  # fmt: skip
    assert abs(loss.item() - same.item()) > 1e-3


def test_where_nothing_can_be_gained_the_target_is_the_answer_led_towards_uniform(batch, late):
    """A network that answers alike everywhere: the penalty is KL((1 - u) p + u / K || p), whatever the search does."""
    logits_K = torch.tensor([2.0, 0.5, -1.0], dtype=torch.float64)
    right = Batch(batch.x_BCHW, torch.zeros(4, dtype=torch.int64), batch.numbers_B)
    model = lambda x_BCHW: logits_K + 0 * x_BCHW.flatten(1)[:, :3]  # noqa: E731
    loss = SmoothMix(sigma=0.25, eta=3.0)(model, right, progress=late, generator=rng()).loss
    p = by_hand.probabilities(logits_K)
    penalties = [
        by_hand.kl([(1 - share) * value + share / 3 for value in p], p)
        for share in drawn_shares(right, sigma=0.25, m=2)
    ]
    expected = by_hand.cross_entropy(logits_K, 0) + 3.0 * sum(penalties) / 4
    assert loss.item() == pytest.approx(expected.item(), abs=1e-5)


def test_the_attack_sees_eval_mode_and_the_loss_train_mode(normalized, batch, late):
    before = deepcopy(normalized.norm.state_dict())
    SmoothMix(sigma=0.25)(normalized, batch, progress=late, generator=rng())
    first_loss_pass = normalized.modes.index(True)
    assert first_loss_pass >= 4 and not any(normalized.modes[:first_loss_pass])
    assert all(normalized.modes[first_loss_pass:])
    tracked = int(normalized.norm.num_batches_tracked) - int(before["num_batches_tracked"])
    assert tracked == normalized.modes.count(True)
