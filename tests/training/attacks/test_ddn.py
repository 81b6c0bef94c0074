"""Decoupled direction and norm on classifiers whose distance to the boundary is known."""

import pytest
import torch

from training.attacks import ddn

SHAPE = (3, 6, 6)


def half_space(distances, *, slope=4.0):
    """`(judge, x_BCHW)`: images at these signed distances before a plane, beyond which the network is fooled."""
    normal = torch.randn(SHAPE, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    normal = normal / normal.norm()
    base = torch.full(SHAPE, 0.5, dtype=torch.float64)
    x_BCHW = torch.stack([base - distance * normal for distance in distances])

    def judge(images_BCHW):
        margin_B = ((images_BCHW - base) * normal).sum(dim=(1, 2, 3))
        return torch.nn.functional.softplus(slope * margin_B), margin_B > 0

    return judge, x_BCHW


def norms(change_BCHW):
    return change_BCHW.flatten(1).norm(dim=1)


def test_the_smallest_change_on_a_linear_network_is_the_distance_to_the_boundary():
    judge, x_BCHW = half_space([0.1, 0.3, 0.6])
    answer = ddn(judge, x_BCHW, max_norm=1.0, num_steps=200)
    # Norms move by factors of 1.05 and pixels by 1/255: the change ends within 5 percent and some rounding above.
    for found, distance in zip(norms(answer - x_BCHW).tolist(), (0.1, 0.3, 0.6), strict=True):
        assert distance - 1e-9 <= found <= distance * 1.05 + 0.02
    assert bool(judge(answer)[1].all())


def test_few_steps_find_a_larger_change_than_many():
    """The norm starts at the largest and shrinks by 5 percent a step: after 5 it cannot be near 0.1."""
    judge, x_BCHW = half_space([0.1])
    few, many = (norms(ddn(judge, x_BCHW, max_norm=1.0, num_steps=steps) - x_BCHW).item() for steps in (5, 200))
    assert 0.95**5 - 0.03 < few <= 1.0 and many < 0.2


def test_the_norm_grows_beyond_the_largest_and_what_is_found_there_is_cut_to_it():
    judge, x_BCHW = half_space([0.6])
    answer = ddn(judge, x_BCHW, max_norm=0.5, num_steps=30)
    assert norms(answer - x_BCHW).item() == pytest.approx(0.5, abs=1e-9)
    assert not bool(judge(answer)[1].any())  # cut, it fools no more


def test_where_nothing_fools_the_image_is_unchanged():
    def never(x_BCHW):
        return x_BCHW.sum(dim=(1, 2, 3)), torch.zeros(len(x_BCHW), dtype=torch.bool)

    x_BCHW = torch.rand(2, *SHAPE, generator=torch.Generator().manual_seed(3))
    assert torch.equal(ddn(never, x_BCHW, max_norm=0.5, num_steps=8), x_BCHW)


def test_an_image_that_is_misclassified_already_is_unchanged_and_its_neighbour_is_not():
    judge, x_BCHW = half_space([-0.2, 0.2])
    answer = ddn(judge, x_BCHW, max_norm=1.0, num_steps=20)
    torch.testing.assert_close(answer[0], x_BCHW[0], atol=0, rtol=0)
    assert norms(answer - x_BCHW)[1].item() > 0.19


@pytest.mark.parametrize("max_norm", [0.0, 0.05, 0.5, 3.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_answer_is_in_the_ball_and_in_the_box(max_norm, dtype):
    x_BCHW = (3 * torch.rand(4, *SHAPE, generator=torch.Generator().manual_seed(4), dtype=dtype) - 1).clamp(0, 1)

    def judge(images_BCHW):
        loss_B = ((images_BCHW - 0.5) * (0.5 - x_BCHW)).sum(dim=(1, 2, 3))  # rises towards the middle of the box
        return loss_B, loss_B > (0.5 - x_BCHW).square().sum(dim=(1, 2, 3)).neg() + 0.001

    answer = ddn(judge, x_BCHW, max_norm=max_norm, num_steps=10)
    assert norms(answer - x_BCHW).max().item() <= max_norm + 1e-6
    assert answer.min().item() >= 0 and answer.max().item() <= 1
    assert (norms(answer - x_BCHW).max().item() > 0) == (max_norm > 0)


def test_a_zero_gradient_leaves_everything_finite():
    def flat(x_BCHW):
        return 0 * x_BCHW.sum(dim=(1, 2, 3)), torch.zeros(len(x_BCHW), dtype=torch.bool)

    x_BCHW = torch.rand(2, *SHAPE, generator=torch.Generator().manual_seed(3))
    assert torch.equal(ddn(flat, x_BCHW, max_norm=0.5, num_steps=4), x_BCHW)


def test_the_images_on_the_way_have_8_bits():
    seen = []
    judge, x_BCHW = half_space([0.3])

    def watching(images_BCHW):
        seen.append(images_BCHW.detach())
        return judge(images_BCHW)

    ddn(watching, x_BCHW, max_norm=0.5, num_steps=5)
    levels = torch.cat(seen[1:]) * 255
    torch.testing.assert_close(levels, levels.round(), atol=1e-9, rtol=0)
    assert not torch.allclose(seen[0] * 255, (seen[0] * 255).round(), atol=1e-3)  # the image itself is not rounded


def test_the_answer_carries_no_graph_and_needs_no_gradient_mode():
    judge, x_BCHW = half_space([0.3])
    with torch.no_grad():
        answer = ddn(judge, x_BCHW, max_norm=0.5, num_steps=5)
    assert not answer.requires_grad and torch.equal(answer, ddn(judge, x_BCHW, max_norm=0.5, num_steps=5))
