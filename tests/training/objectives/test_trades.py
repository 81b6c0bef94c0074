"""TRADES against equation 5 of Zhang et al. 2019 and their attack."""

from copy import deepcopy

import pytest
import torch

from tests.training.objectives import by_hand
from tests.training.objectives.samples import assert_same, gradients, rng
from training.objectives.objective import gaussian_noise
from training.objectives.standard import Standard
from training.objectives.trades import Trades


def attacked(network, batch, *, norm, epsilon, step, num_steps):
    """Each image's adversarial image, from the image plus noise of deviation 0.001, in eval mode."""
    frozen, images = deepcopy(network).eval(), []
    for x_CHW, noise in zip(batch.x_BCHW, gaussian_noise(batch, 0.001, rng()), strict=True):
        clean = [p.detach() for p in by_hand.probabilities(by_hand.answer(frozen, x_CHW))]
        images.append(
            by_hand.ascend(
                lambda x, clean=clean: by_hand.kl(clean, by_hand.probabilities(by_hand.answer(frozen, x))),
                x_CHW,
                norm=norm,
                epsilon=epsilon,
                step=step,
                num_steps=num_steps,
                start=x_CHW + noise,
            )
        )
    return torch.stack(images)


def expected_loss(network, images_BCHW, batch, *, beta):
    return by_hand.trades(network(batch.x_BCHW), network(images_BCHW), batch.labels_B.tolist(), beta=beta)


@pytest.mark.parametrize(("norm", "epsilon"), [("l2", 0.5), ("linf", 0.031)])
@pytest.mark.parametrize("num_steps", [1, 4])
def test_trades_equals_the_computation_by_hand(norm, epsilon, num_steps, smooth, batch, late):
    objective = Trades(norm=norm, epsilon=epsilon, num_steps=num_steps, relative_step_size=1.6, beta=6.0)
    loss = objective(smooth, batch, progress=late, generator=rng()).loss
    images = attacked(smooth, batch, norm=norm, epsilon=epsilon, step=1.6 * epsilon / num_steps, num_steps=num_steps)
    expected = expected_loss(smooth, images, batch, beta=6.0)
    assert loss.item() == pytest.approx(expected.item(), abs=1e-5)
    assert_same(gradients(smooth, loss), gradients(smooth, expected))  # through both arguments of the divergence


def test_a_gradient_through_one_argument_only_is_another_one(smooth, batch):
    """What the comparison of gradients above rests on."""
    found = []
    for detached in (False, True):
        clean, other = smooth(batch.x_BCHW)[0], smooth(batch.x_BCHW + 0.1)[0]
        p = by_hand.probabilities(clean.detach() if detached else clean)
        found.append(gradients(smooth, by_hand.kl(p, by_hand.probabilities(other)))[0])
    assert not torch.allclose(*found, atol=1e-3)


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_images_at_the_edge_of_the_box_stay_in_it(norm, smooth, edge_batch, late):
    seen = []

    def watching(x_BCHW):
        seen.append(x_BCHW.detach())
        return smooth(x_BCHW)

    Trades(norm=norm, epsilon=0.3, num_steps=2)(watching, edge_batch, progress=late, generator=rng())
    assert seen[-1].min().item() >= 0 and seen[-1].max().item() <= 1
    assert not torch.allclose(seen[-1], edge_batch.x_BCHW, atol=1e-2)


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_without_beta_trades_is_standard_training(norm, smooth, batch, late):
    loss = Trades(norm=norm, beta=0.0)(smooth, batch, progress=late, generator=rng()).loss
    clean = Standard()(smooth, batch, progress=late, generator=rng()).loss
    assert loss.item() == pytest.approx(clean.item(), abs=1e-7)


def test_with_epsilon_0_nothing_is_driven_away(smooth, batch, late):
    loss = Trades(epsilon=0.0)(smooth, batch, progress=late, generator=rng()).loss
    clean = Standard()(smooth, batch, progress=late, generator=rng()).loss
    assert loss.item() == pytest.approx(clean.item(), abs=1e-7)


def test_the_attack_sees_eval_mode_and_each_side_of_the_loss_its_own_batch_statistics(normalized, batch, late):
    reference = deepcopy(normalized)
    loss = Trades(epsilon=1.0, num_steps=3)(normalized, batch, progress=late, generator=rng()).loss
    images = attacked(reference, batch, norm="l2", epsilon=1.0, step=2 / 3, num_steps=3)
    expected = expected_loss(reference, images, batch, beta=6.0)
    assert loss.item() == pytest.approx(expected.item(), abs=1e-5)
    assert_same(gradients(normalized, loss), gradients(reference, expected))


def test_awp_moves_the_weights_against_the_whole_loss(normalized, batch, late):
    before = deepcopy(normalized)
    loss = Trades(awp_gamma=0.05, num_steps=2)(normalized, batch, progress=late, generator=rng()).loss
    images = attacked(before, batch, norm="l2", epsilon=0.5, step=0.5, num_steps=2)
    moved = by_hand.with_perturbed_weights(
        before, lambda network: expected_loss(network, images, batch, beta=6.0), gamma=0.05
    )
    expected = expected_loss(moved, images, batch, beta=6.0)
    assert loss.item() == pytest.approx(expected.item(), abs=1e-5)
    assert_same(gradients(normalized, loss), gradients(moved, expected))
