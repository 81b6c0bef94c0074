"""NT-Xent against equation 1 of Chen et al. 2020, alone and over two real processes with unequal shares."""

import math

import pytest
import torch
from torch.nn import functional as F

from tests.training.objectives import by_hand
from tests.training.objectives.samples import rng
from training.objectives import Batch
from training.objectives.simclr import SimClr, nt_xent


def two_views(size):
    """`(first_BD, second_BD)`, not yet of unit length."""
    generator = torch.Generator().manual_seed(5)
    return torch.randn(2, size, 4, generator=generator, dtype=torch.float64).unbind()


def loss_of_views(first_BD, second_BD, *, temperature, late):
    """The objective's, for a model that answers with the views themselves."""
    size = len(first_BD)
    numbers = torch.arange(size)
    batch = Batch(torch.cat([first_BD, second_BD])[:, :, None, None], numbers, numbers)
    objective = SimClr(temperature=temperature)
    return objective(lambda x: x[:, :, 0, 0], batch, progress=late, generator=rng()).loss


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize("temperature", [0.1, 0.5, 2.0])
def test_nt_xent_equals_a_loop_over_the_views(size, temperature, late):
    first, second = two_views(size)
    first.requires_grad_()
    loss = loss_of_views(first, second, temperature=temperature, late=late)
    expected = by_hand.nt_xent(list(first), list(second), temperature=temperature)
    assert loss.item() == pytest.approx(expected.item(), abs=1e-5)
    ours, by_loop = (torch.autograd.grad(each, first)[0] for each in (loss, expected))
    torch.testing.assert_close(ours, by_loop, atol=1e-5, rtol=1e-5)


def test_a_single_image_has_no_negatives_and_no_loss(late):
    assert loss_of_views(*two_views(1), temperature=0.1, late=late).item() == pytest.approx(0, abs=1e-7)


def test_two_orthogonal_images_with_equal_views(late):
    """By hand: each view has its partner at similarity 1 and two others at 0, so -log(e / (e + 2)) at temperature 1."""
    views = torch.eye(2, 4, dtype=torch.float64)
    loss = loss_of_views(views, 3 * views, temperature=1.0, late=late)  # lengths do not matter
    assert loss.item() == pytest.approx(math.log(1 + 2 / math.e), abs=1e-6)


def test_wrong_partners_cost_more(late):
    first, _ = two_views(4)
    right = loss_of_views(first, first, temperature=0.5, late=late)
    assert loss_of_views(first, first.roll(1, 0), temperature=0.5, late=late).item() > right.item() + 0.5


def test_the_order_of_images_and_of_views_does_not_matter(late):
    first, second = two_views(5)
    order = torch.tensor([3, 0, 4, 1, 2])
    loss = loss_of_views(first, second, temperature=0.1, late=late)
    assert torch.allclose(loss, loss_of_views(first[order], second[order], temperature=0.1, late=late))
    assert torch.allclose(loss, loss_of_views(second, first, temperature=0.1, late=late))


def test_it_is_told_which_views_find_their_partner():
    first = F.normalize(torch.eye(3), dim=1)
    _, found = nt_xent(first, first, temperature=0.1)
    assert found.shape == (6,) and bool(found.bool().all())
    _, lost = nt_xent(first, first.roll(1, 0), temperature=0.1)
    assert not bool(lost.bool().any())


def test_the_head_is_two_layers_with_the_asked_sizes():
    head = SimClr(hidden=16, outputs=5).head(8)
    linears = [layer for layer in head.modules() if isinstance(layer, torch.nn.Linear)]
    assert [(layer.in_features, layer.out_features) for layer in linears] == [(8, 16), (16, 5)]
    assert head(torch.rand(3, 8)).shape == (3, 5)
