"""SmoothAdv against Salman et al. 2019: an attack on the smoothed classifier, then cross-entropy on noisy copies."""

from copy import deepcopy

import pytest
import torch

from tests.training.objectives import by_hand
from tests.training.objectives.samples import assert_same, gradients, noises_of_images, noisy_logits, rng
from training.objectives import Progress
from training.objectives.objective import gaussian_copies
from training.objectives.smoothadv import SmoothAdv


def attacked(network, batch, noises, *, attack, epsilon, num_steps):
    frozen, images = deepcopy(network).eval(), []
    for x_CHW, label, own in zip(batch.x_BCHW, batch.labels_B.tolist(), noises, strict=True):
        if attack == "ddn":
            image = by_hand.ddn(frozen, x_CHW, own, label, max_norm=epsilon, num_steps=num_steps)
        else:
            loss_of = by_hand.smoothed_loss_of(frozen, own, label)
            step = 2 * epsilon / num_steps
            image = by_hand.ascend(loss_of, x_CHW, norm="l2", epsilon=epsilon, step=step, num_steps=num_steps)
        images.append(image)
    return images


def expected_loss(network, images, batch, noises):
    """Cross-entropy over all copies, the mean of the copies' means."""
    logits_MBK = noisy_logits(network, images, noises)
    return sum(by_hand.mean_cross_entropy(logits_BK, batch.labels_B.tolist()) for logits_BK in logits_MBK) / len(
        noises[0]
    )


@pytest.mark.parametrize("m", [1, 2, 3])
@pytest.mark.parametrize(
    ("attack", "epsilon", "num_steps"),
    [("pgd", 1.0, 2), ("pgd", 2.0, 5), ("ddn", 2.0, 2), ("ddn", 1.0, 8), ("ddn", 20.0, 3)],
)
@pytest.mark.parametrize("sigma", [1.0, 0.25, 0.0])
def test_smoothadv_equals_the_computation_by_hand(attack, epsilon, num_steps, m, sigma, smooth, batch, late):
    objective = SmoothAdv(sigma=sigma, m=m, attack=attack, epsilon=epsilon, num_steps=num_steps)
    loss = objective(smooth, batch, progress=late, generator=rng()).loss
    noises = noises_of_images(batch, sigma=sigma, m=m)
    images = attacked(smooth, batch, noises, attack=attack, epsilon=epsilon, num_steps=num_steps)
    assert not torch.allclose(torch.stack(images), batch.x_BCHW)  # the attack is no trivial one
    expected = expected_loss(smooth, images, batch, noises)
    assert loss.item() == pytest.approx(expected.item(), abs=1e-5)
    assert_same(gradients(smooth, loss), gradients(smooth, expected))


def test_the_adversary_raises_the_log_of_the_mean_not_the_mean_of_the_logs(smooth, batch, late):
    """A negative control of the comparison: the loss of the wrong adversary is told apart."""
    noises = noises_of_images(batch, sigma=1.0, m=3)
    wrong = []
    for x_CHW, label, own in zip(batch.x_BCHW, batch.labels_B.tolist(), noises, strict=True):
        loss_of = lambda x, own=own, label=label: sum(  # noqa: E731
            by_hand.cross_entropy(by_hand.answer(smooth, x + noise), label) for noise in own
        )
        wrong.append(by_hand.ascend(loss_of, x_CHW, norm="l2", epsilon=1.0, step=1.0, num_steps=2))
    right = attacked(smooth, batch, noises, attack="pgd", epsilon=1.0, num_steps=2)
    loss = SmoothAdv(sigma=1.0, m=3, epsilon=1.0, num_steps=2)(smooth, batch, progress=late, generator=rng()).loss
    assert loss.item() == pytest.approx(expected_loss(smooth, right, batch, noises).item(), abs=1e-5)
    assert loss.item() != pytest.approx(expected_loss(smooth, wrong, batch, noises).item(), abs=1e-4)


@pytest.mark.parametrize("attack", ["pgd", "ddn"])
def test_epsilon_rises_epoch_by_epoch_over_the_warmup(attack, smooth, batch):
    objective = SmoothAdv(sigma=0.25, attack=attack, epsilon=2.0, num_steps=4, warmup_epochs=4)
    noises = noises_of_images(batch, sigma=0.25, m=2)
    losses = {}
    for epochs, share in ((0.0, 0.25), (0.9, 0.25), (1.0, 0.5), (2.5, 0.75), (3.0, 1.0), (50.0, 1.0)):
        loss = objective(smooth, batch, progress=Progress(epochs=epochs), generator=rng()).loss
        images = attacked(smooth, batch, noises, attack=attack, epsilon=2.0 * share, num_steps=4)
        losses[share] = expected_loss(smooth, images, batch, noises).item()
        assert loss.item() == pytest.approx(losses[share], abs=1e-5)
    assert len(set(losses.values())) == 4


@pytest.mark.parametrize("attack", ["pgd", "ddn"])
@pytest.mark.parametrize("m", [1, 2])
def test_with_epsilon_0_it_is_cross_entropy_on_noisy_copies(attack, m, smooth, batch, late):
    objective = SmoothAdv(sigma=0.5, m=m, attack=attack, epsilon=0.0)
    loss = objective(smooth, batch, progress=late, generator=rng()).loss
    noises = noises_of_images(batch, sigma=0.5, m=m)
    assert loss.item() == pytest.approx(expected_loss(smooth, list(batch.x_BCHW), batch, noises).item(), abs=1e-6)


@pytest.mark.parametrize("attack", ["pgd", "ddn"])
def test_the_attack_sees_eval_mode_and_the_loss_all_copies_in_one_pass_in_train_mode(attack, normalized, batch, late):
    reference = deepcopy(normalized)
    objective = SmoothAdv(sigma=0.25, m=2, attack=attack, epsilon=1.0, num_steps=3)
    loss = objective(normalized, batch, progress=late, generator=rng()).loss
    noises = noises_of_images(batch, sigma=0.25, m=2)
    images = torch.stack(attacked(reference, batch, noises, attack=attack, epsilon=1.0, num_steps=3))
    copies = torch.cat([images + noise_BCHW for noise_BCHW in gaussian_copies(batch, 0.25, 2, rng())])
    expected = by_hand.mean_cross_entropy(reference(copies), batch.labels_B.tolist() * 2)
    assert loss.item() == pytest.approx(expected.item(), abs=1e-5)
    assert_same(gradients(normalized, loss), gradients(reference, expected))
    assert normalized.modes.count(True) == 1 and normalized.modes[-1]
    assert_same([normalized.norm.running_mean], [reference.norm.running_mean])
