"""Adversarial training against MadryLab's description of it, and weight perturbation against a proxy network."""

from copy import deepcopy

import pytest
import torch

from tests.training.objectives import by_hand
from tests.training.objectives.samples import assert_same, gradients, rng
from training.objectives import Progress
from training.objectives.adversarial import Adversarial
from training.objectives.standard import Standard


def attacked(network, batch, *, norm="l2", epsilon=0.5, step=1 / 3, num_steps=3, keep_best=True):
    """Each image's adversarial image; the network is looked at in eval mode."""
    frozen, images = deepcopy(network).eval(), []
    for x_CHW, label in zip(batch.x_BCHW, batch.labels_B.tolist(), strict=True):
        images.append(
            by_hand.ascend(
                lambda x, label=label: by_hand.cross_entropy(by_hand.answer(frozen, x), label),
                x_CHW,
                norm=norm,
                epsilon=epsilon,
                step=step,
                num_steps=num_steps,
                keep_best=keep_best,
            )
        )
    return torch.stack(images)


def loss_at(network, images_BCHW, batch):
    return by_hand.mean_cross_entropy(network(images_BCHW), batch.labels_B.tolist())


def test_by_default_it_is_the_transfer_study_s_l2_attack_in_3_steps(smooth, batch, late):
    loss = Adversarial()(smooth, batch, progress=late, generator=rng()).loss
    images = attacked(smooth, batch, epsilon=0.5, step=2 / 3 * 0.5, num_steps=3, keep_best=True)
    expected = loss_at(smooth, images, batch)
    assert loss.item() == pytest.approx(expected.item(), abs=1e-5)
    assert_same(gradients(smooth, loss), gradients(smooth, expected))
    assert loss.item() > loss_at(smooth, batch.x_BCHW, batch).item() + 0.1


@pytest.mark.parametrize(("norm", "epsilon"), [("l2", 1.5), ("linf", 0.1)])
@pytest.mark.parametrize("keep_best", [True, False])
def test_it_follows_the_attack_at_the_edge_of_the_box_too(norm, epsilon, keep_best, smooth, edge_batch, late):
    objective = Adversarial(norm=norm, epsilon=epsilon, num_steps=4, relative_step_size=2.5, keep_best=keep_best)
    loss = objective(smooth, edge_batch, progress=late, generator=rng()).loss
    images = attacked(
        smooth, edge_batch, norm=norm, epsilon=epsilon, step=2.5 * epsilon / 4, num_steps=4, keep_best=keep_best
    )
    assert loss.item() == pytest.approx(loss_at(smooth, images, edge_batch).item(), abs=1e-5)


def test_keep_best_takes_each_image_s_highest_loss_where_steps_overshoot(smooth, batch, late):
    settings = {"epsilon": 6.0, "num_steps": 3}
    best, last = (
        attacked(smooth, batch, step=4.0 * 6.0 / 3, keep_best=keep_best, **settings) for keep_best in (True, False)
    )
    assert not torch.allclose(best, last)  # else this test would show nothing
    for keep_best, images in ((True, best), (False, last)):
        objective = Adversarial(relative_step_size=4.0, keep_best=keep_best, **settings)
        loss = objective(smooth, batch, progress=late, generator=rng()).loss
        assert loss.item() == pytest.approx(loss_at(smooth, images, batch).item(), abs=1e-5)


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_with_epsilon_0_it_is_standard_training(norm, smooth, batch, late):
    loss = Adversarial(norm=norm, epsilon=0.0)(smooth, batch, progress=late, generator=rng()).loss
    clean = Standard()(smooth, batch, progress=late, generator=rng()).loss
    assert loss.item() == pytest.approx(clean.item(), abs=1e-7)


def test_the_attack_sees_the_network_in_eval_mode_and_the_loss_in_train_mode(normalized, batch, late):
    reference = deepcopy(normalized)
    loss = Adversarial(epsilon=1.0)(normalized, batch, progress=late, generator=rng()).loss
    images = attacked(reference, batch, epsilon=1.0, step=2 / 3)
    expected = loss_at(reference.train(), images, batch)
    assert loss.item() == pytest.approx(expected.item(), abs=1e-5)
    assert_same(gradients(normalized, loss), gradients(reference, expected))
    assert_same(
        [normalized.norm.running_mean, normalized.norm.running_var],
        [reference.norm.running_mean, reference.norm.running_var],
    )  # of one pass, the loss's
    assert not torch.allclose(loss, loss_at(deepcopy(reference).eval(), images, batch), atol=1e-3)


@pytest.mark.parametrize("gamma", [0.01, 0.5])
def test_awp_is_a_step_of_a_proxy_scaled_to_each_layer_s_norm(gamma, normalized, batch, late):
    before = deepcopy(normalized)
    loss = Adversarial(awp_gamma=gamma)(normalized, batch, progress=late, generator=rng()).loss
    images = attacked(before, batch)
    moved = by_hand.with_perturbed_weights(before, lambda network: loss_at(network, images, batch), gamma=gamma)
    expected = loss_at(moved, images, batch)
    assert loss.item() == pytest.approx(expected.item(), abs=1e-5)
    loss.backward()
    assert_same([parameter.grad for parameter in normalized.parameters()], gradients(moved, expected))
    assert loss.item() > loss_at(deepcopy(before), images, batch).item() + gamma / 10
    for name, parameter in before.named_parameters():  # the network itself stays where it was
        assert torch.equal(parameter, normalized.get_parameter(name))
    assert_same([normalized.norm.running_mean], [moved.norm.running_mean])  # statistics of the second pass only
    assert int(normalized.norm.num_batches_tracked) == 1


def test_awp_waits_for_its_warmup(smooth, batch):
    objective = Adversarial(awp_gamma=0.1, awp_warmup_epochs=5.0)
    plain = Adversarial()(smooth, batch, progress=Progress(epochs=0.0), generator=rng()).loss
    early, then = (
        objective(smooth, batch, progress=Progress(epochs=epochs), generator=rng()).loss for epochs in (4.9, 5.0)
    )
    assert torch.equal(early, plain) and then.item() > plain.item() + 1e-3


def test_awp_of_gamma_0_is_no_perturbation(normalized, batch, late):
    other = deepcopy(normalized)
    loss = Adversarial(awp_gamma=0.0)(normalized, batch, progress=late, generator=rng()).loss
    plain = Adversarial()(other, batch, progress=late, generator=rng()).loss
    assert torch.equal(loss, plain)
    assert_same(gradients(normalized, loss), gradients(other, plain))
