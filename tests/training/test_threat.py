"""A threat model: its ball, its box and its steepest direction."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from training.threat import ThreatModel, l2_norm
from zoo.errors import RecipeError

threats = st.builds(
    ThreatModel,
    norm=st.sampled_from(["l2", "linf"]),
    epsilon=st.one_of(st.just(0.0), st.floats(1e-6, 1e-3), st.floats(0.01, 3.0)),
)
every_draw = settings(max_examples=100, deadline=None, derandomize=True)


def pixels(seed, *, low=0.0, high=1.0):
    generator = torch.Generator().manual_seed(seed)
    return low + (high - low) * torch.rand(3, 3, 4, 4, generator=generator, dtype=torch.float64)


def size(change_BCHW, norm):
    flat = change_BCHW.flatten(1)
    return flat.norm(dim=1) if norm == "l2" else flat.abs().amax(dim=1)


@every_draw
@given(threat=threats, seed=st.integers(0, 1000), reach=st.floats(0, 5))
def test_a_projection_is_in_the_ball_and_in_the_box_and_projecting_again_changes_nothing(threat, seed, reach):
    center = (pixels(seed) * 2 - 0.5).clamp(0, 1)
    projected = threat.project(center + pixels(seed + 1, low=-reach, high=reach), center)
    assert bool((size(projected - center, threat.norm) <= threat.epsilon + 1e-12).all())
    assert projected.min().item() >= 0 and projected.max().item() <= 1
    torch.testing.assert_close(threat.project(projected, center), projected, atol=1e-12, rtol=0)


@every_draw
@given(threat=threats, seed=st.integers(0, 1000))
def test_what_is_allowed_is_left_alone(threat, seed):
    center = pixels(seed, low=0.3, high=0.7)
    change = pixels(seed + 1, low=-1, high=1)
    change = change / size(change, threat.norm).view(-1, 1, 1, 1) * threat.epsilon * 0.99
    allowed = (center + change).clamp(0, 1)
    torch.testing.assert_close(threat.project(allowed, center), allowed, atol=1e-12, rtol=0)


def test_a_change_is_shortened_onto_the_l2_ball_and_cut_pixel_by_pixel_to_the_linf_ball():
    """(0.6, 0.8) has l2 norm 1: at epsilon 0.1 it becomes (0.06, 0.08), or (0.1, 0.1)."""
    center = torch.zeros(1, 1, 1, 2, dtype=torch.float64)
    x = torch.tensor([0.6, 0.8], dtype=torch.float64).view(1, 1, 1, 2)
    for norm, expected in (("l2", [0.06, 0.08]), ("linf", [0.1, 0.1])):
        projected = ThreatModel(norm=norm, epsilon=0.1).project(x, center)
        assert projected.flatten().tolist() == pytest.approx(expected, abs=1e-12)


def test_the_ball_comes_before_the_box():
    """By hand: (2, 0) from (0.9, 0.5) is a change of (1.1, -0.5) of norm 1.2083; epsilon 0.6 scales it by 0.4966 to
    (0.5462, -0.2483), and the box then cuts the first pixel to 1. The other order gives another image."""
    center = torch.tensor([0.9, 0.5], dtype=torch.float64).view(1, 1, 1, 2)
    x = torch.tensor([2.0, 0.0], dtype=torch.float64).view(1, 1, 1, 2)
    projected = ThreatModel(epsilon=0.6).project(x, center).flatten().tolist()
    assert projected == pytest.approx([1.0, 0.5 - 0.6 * 0.5 / math.hypot(1.1, 0.5)], abs=1e-12)
    assert projected[1] > 0.2  # the box first leaves a change of (0.1, -0.5), which is allowed: that pixel would be 0


@every_draw
@given(seed=st.integers(0, 1000), exponent=st.integers(-8, 8))
def test_the_steepest_direction_has_unit_norm_and_the_largest_slope(seed, exponent):
    gradient = pixels(seed, low=-1, high=1) * 10.0**exponent
    for norm in ("l2", "linf"):
        direction = ThreatModel(norm=norm).steepest(gradient)
        torch.testing.assert_close(size(direction, norm), torch.ones(3, dtype=torch.float64))
        other = pixels(seed + 1, low=-1, high=1)
        other = other / size(other, norm).view(-1, 1, 1, 1)
        assert bool(((direction * gradient).flatten(1).sum(1) >= (other * gradient).flatten(1).sum(1)).all())


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_where_the_gradient_is_zero_there_is_no_direction(norm):
    gradient = torch.zeros(2, 1, 2, 2)
    gradient[0] = 1.0
    direction = ThreatModel(norm=norm).steepest(gradient)
    assert bool(direction.isfinite().all()) and bool((direction[1] == 0).all()) and bool((direction[0] > 0).all())


def test_with_epsilon_0_nothing_but_the_image_is_allowed():
    center = pixels(1)
    for norm in ("l2", "linf"):
        torch.testing.assert_close(ThreatModel(norm=norm, epsilon=0.0).project(pixels(2), center), center)


def test_the_norm_is_each_image_s_own():
    x_BCHW = torch.zeros(2, 1, 2, 2)
    x_BCHW[0, 0, 0] = torch.tensor([3.0, 4.0])
    assert l2_norm(x_BCHW).shape == (2, 1, 1, 1) and l2_norm(x_BCHW).flatten().tolist() == [5.0, 0.0]


@pytest.mark.parametrize("epsilon", [-0.1, math.nan, math.inf])
def test_a_radius_that_is_none_is_refused(epsilon):
    with pytest.raises(RecipeError, match=r"epsilon must be .*, got "):
        ThreatModel(epsilon=epsilon)


def test_an_unknown_norm_is_refused():
    with pytest.raises(RecipeError, match="norm must be l2 or linf, got 'l1'"):
        ThreatModel(norm="l1")
