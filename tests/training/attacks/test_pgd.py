"""Projected gradient ascent: within the threat model, and as good as it can be where the best is known."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from training.attacks import pgd
from training.threat import ThreatModel


def images(size=3, *, dtype=torch.float64):
    return torch.rand(size, 3, 4, 4, generator=torch.Generator().manual_seed(1), dtype=dtype)


def linear(*, scale=1.0, bias=0.0):
    """`(weight_CHW, loss_of)`, whose loss is linear in the image."""
    weight = scale * torch.randn(3, 4, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    return weight, lambda x_BCHW: (x_BCHW * weight).sum(dim=(1, 2, 3)) + bias


def wavy(x_BCHW):
    """A loss with many maxima, so that steps overshoot."""
    return torch.sin(7 * x_BCHW).sum(dim=(1, 2, 3)) + torch.cos(3 * x_BCHW.sum(dim=(1, 2, 3)))


threats = st.builds(
    ThreatModel,
    norm=st.sampled_from(["l2", "linf"]),
    epsilon=st.one_of(st.just(0.0), st.floats(1e-6, 1e-3), st.floats(0.01, 3.0)),
)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    threat=threats,
    num_steps=st.integers(1, 6),
    step_size=st.floats(0, 10),
    keep_best=st.booleans(),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    noise=st.sampled_from([None, 1e-3]),
)
def test_the_answer_is_in_the_ball_and_in_the_box(threat, num_steps, step_size, keep_best, dtype, noise):
    x_BCHW = (images(dtype=dtype) * 3 - 1).clamp(0, 1)  # many pixels at the edge
    start = None if noise is None else x_BCHW + noise * threat.epsilon  # of l2 norm below epsilon
    answer = pgd(
        wavy, x_BCHW, threat=threat, num_steps=num_steps, step_size=step_size, start_BCHW=start, keep_best=False
    )
    change = (answer - x_BCHW).flatten(1)
    norm = change.norm(dim=1) if threat.norm == "l2" else change.abs().amax(dim=1)
    assert bool((norm <= threat.epsilon * (1 + 1e-5) + 1e-6).all())
    assert answer.min().item() >= 0 and answer.max().item() <= 1
    if keep_best:
        best = pgd(wavy, x_BCHW, threat=threat, num_steps=num_steps, step_size=step_size, keep_best=True)
        plain = pgd(wavy, x_BCHW, threat=threat, num_steps=num_steps, step_size=step_size)
        assert bool((wavy(best) >= wavy(plain)).all()) and bool((wavy(best) >= wavy(x_BCHW)).all())


def test_without_projection_the_same_steps_would_leave_ball_and_box():
    """What the property above rests on."""
    x_BCHW = images()
    weight, loss_of = linear()
    answer = pgd(loss_of, x_BCHW, threat=ThreatModel(epsilon=1e6), num_steps=3, step_size=1.0)
    assert (answer - x_BCHW).flatten(1).norm(dim=1).min().item() > 1.0
    assert (x_BCHW + 3.0 * weight / weight.norm()).max().item() > 1


@pytest.mark.parametrize("num_steps", [1, 3, 10])
@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_a_linear_loss_rises_by_epsilon_times_the_dual_norm_of_its_slope(norm, num_steps):
    """The optimum in closed form (Hoelder's inequality), where no pixel meets the box."""
    weight, loss_of = linear()
    x_BCHW = 0.4 + 0.2 * images()
    threat = ThreatModel(norm=norm, epsilon=0.3)
    answer = pgd(loss_of, x_BCHW, threat=threat, num_steps=num_steps, step_size=2 * 0.3 / num_steps)
    optimum = 0.3 * (weight.norm() if norm == "l2" else weight.abs().sum())
    gained = loss_of(answer) - loss_of(x_BCHW)
    torch.testing.assert_close(gained, optimum.expand(3), atol=1e-6, rtol=1e-6)


def test_too_short_steps_do_not_reach_the_optimum():
    weight, loss_of = linear()
    x_BCHW = 0.4 + 0.2 * images()
    answer = pgd(loss_of, x_BCHW, threat=ThreatModel(epsilon=0.3), num_steps=3, step_size=0.05)
    gained = loss_of(answer) - loss_of(x_BCHW)
    torch.testing.assert_close(gained, (0.15 * weight.norm()).expand(3), atol=1e-6, rtol=1e-6)


def test_the_best_iterate_is_taken_image_by_image_and_the_start_may_be_it():
    """The loss is a peak at the image for the first, and rises for the second: steps of 0.3 leave the first's peak."""

    def loss_of(x_BCHW):
        peak = -(x_BCHW[:1] - 0.499).abs().sum(dim=(1, 2, 3))
        return torch.cat([peak, x_BCHW[1:].sum(dim=(1, 2, 3))])

    x_BCHW = torch.full((2, 1, 2, 2), 0.5, dtype=torch.float64)
    threat = ThreatModel(epsilon=1.0)
    last, best = (
        pgd(loss_of, x_BCHW, threat=threat, num_steps=3, step_size=0.3, keep_best=keep_best)
        for keep_best in (False, True)
    )
    assert torch.equal(best[0], x_BCHW[0]) and not torch.allclose(last[0], x_BCHW[0])
    assert torch.equal(best[1], last[1]) and best[1].mean().item() == pytest.approx(0.5 + 0.9 / 2)


def test_where_the_gradient_is_zero_an_image_stays():
    """Only the first image has a slope."""
    slope = torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64)
    x_BCHW = images()
    for norm in ("l2", "linf"):
        answer = pgd(
            lambda x: slope * x.sum(dim=(1, 2, 3)),
            x_BCHW,
            threat=ThreatModel(norm=norm, epsilon=0.1),
            num_steps=2,
            step_size=0.1,
        )
        torch.testing.assert_close(answer[1:], x_BCHW[1:], atol=1e-15, rtol=0)
        assert bool((answer[0] > x_BCHW[0]).any()) and bool(answer.isfinite().all())


def test_a_steep_and_a_flat_loss_lead_to_the_same_image():
    answers = []
    for scale in (1e-4, 1.0, 1e6):
        _, loss_of = linear(scale=scale)
        answers.append(pgd(loss_of, images(), threat=ThreatModel(epsilon=0.5), num_steps=2, step_size=0.3))
    torch.testing.assert_close(answers[0], answers[1], atol=1e-9, rtol=0)
    torch.testing.assert_close(answers[2], answers[1], atol=1e-9, rtol=0)


def test_the_search_begins_where_it_is_told_and_is_still_bounded_around_the_image():
    _, loss_of = linear()
    x_BCHW = 0.4 + 0.2 * images()
    seen = []

    def watching(x):
        seen.append(x.detach())
        return loss_of(x)

    answer = pgd(
        watching, x_BCHW, threat=ThreatModel(epsilon=0.2), num_steps=1, step_size=0.1, start_BCHW=x_BCHW + 0.01
    )
    assert torch.equal(seen[0], x_BCHW + 0.01)
    assert (answer - x_BCHW).flatten(1).norm(dim=1).max().item() <= 0.2 + 1e-12


def test_it_works_under_no_grad_and_its_answer_carries_no_graph():
    _, loss_of = linear()
    x_BCHW = images().requires_grad_()
    with torch.no_grad():
        without = pgd(loss_of, x_BCHW, threat=ThreatModel(), num_steps=2, step_size=0.3, keep_best=True)
    within = pgd(loss_of, x_BCHW, threat=ThreatModel(), num_steps=2, step_size=0.3, keep_best=True)
    assert torch.equal(without, within) and not within.requires_grad and x_BCHW.grad is None
    assert not math.isclose(loss_of(within)[0].item(), loss_of(x_BCHW)[0].item())
