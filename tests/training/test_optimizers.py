"""LARS against its update written out, and the optimizer that a recipe describes."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from training.optimizers import Lars, optimizer_for
from training.recipe import Sgd


def test_a_layer_moves_by_the_trust_coefficient_times_its_norm_and_biases_by_plain_sgd():
    layer = nn.Linear(3, 2)
    weight, bias = layer.weight.detach().clone(), layer.bias.detach().clone()
    optimizer = Lars(layer.parameters(), lr=0.5, momentum=0.9, weight_decay=0.1, trust_coefficient=0.01)
    velocity, bias_velocity = torch.zeros_like(weight), torch.zeros_like(bias)
    for step in range(3):
        gradient, bias_gradient = torch.randn(2, 3, generator=torch.Generator().manual_seed(step)), torch.ones(2)
        layer.weight.grad, layer.bias.grad = gradient.clone(), bias_gradient.clone()
        optimizer.step()
        update = gradient + 0.1 * weight
        velocity = 0.9 * velocity + 0.5 * 0.01 * weight.norm() / update.norm() * update
        weight = weight - velocity
        bias_velocity = 0.9 * bias_velocity + 0.5 * bias_gradient
        bias = bias - bias_velocity
        assert torch.allclose(layer.weight, weight, atol=1e-6) and torch.allclose(layer.bias, bias, atol=1e-6)


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_under_a_changing_rate_the_velocity_is_that_of_algorithm_1(weight_decay):
    """You et al. 2017, algorithm 1: v <- m v + rate * local_rate * (g + decay * w), w <- w - v."""
    rates, momentum, trust = (0.1, 0.5, 1.0, 0.6, 0.2, 0.0), 0.9, 0.01
    random = np.random.default_rng(0)
    start, gradients = random.normal(size=(4, 3)), random.normal(size=(len(rates), 4, 3))
    layer = nn.Linear(3, 4, bias=False, dtype=torch.float64)
    layer.weight.data = torch.from_numpy(start.copy())
    optimizer = Lars(layer.parameters(), lr=1.0, momentum=momentum, weight_decay=weight_decay, trust_coefficient=trust)
    w, v = start, np.zeros_like(start)
    for rate, g in zip(rates, gradients, strict=True):
        u = g + weight_decay * w
        v = momentum * v + rate * trust * np.linalg.norm(w) / np.linalg.norm(u) * u
        w = w - v
        optimizer.param_groups[0]["lr"] = rate
        layer.weight.grad = torch.from_numpy(g.copy())
        optimizer.step()
        assert np.allclose(layer.weight.detach().numpy(), w, rtol=1e-12, atol=0)


def test_a_layer_of_zeros_moves_as_under_plain_sgd():
    layer = nn.Linear(3, 2, bias=False)
    nn.init.zeros_(layer.weight)
    layer.weight.grad = torch.ones(2, 3)
    Lars(layer.parameters(), lr=0.5).step()
    assert torch.equal(layer.weight, torch.full((2, 3), -0.5))


def test_the_state_of_lars_is_restored():
    def two_steps(optimizer, layer):
        for _ in range(2):
            layer.weight.grad = torch.ones(2, 3)
            optimizer.step()

    torch.manual_seed(0)
    layer = nn.Linear(3, 2, bias=False)
    optimizer = Lars(layer.parameters(), lr=0.5)
    two_steps(optimizer, layer)
    other = nn.Linear(3, 2, bias=False)
    other.load_state_dict(layer.state_dict())
    resumed = Lars(other.parameters(), lr=0.1)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    two_steps(optimizer, layer)
    two_steps(resumed, other)
    assert torch.equal(layer.weight, other.weight)


def test_a_recipe_chooses_between_plain_and_layer_wise_rates_and_frozen_parameters_stay_out():
    network = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2))
    network[0].requires_grad_(False)
    plain = optimizer_for(network.parameters(), Sgd(lr=0.2, momentum=0.5, nesterov=True))
    assert type(plain) is torch.optim.SGD and plain.defaults["nesterov"] and plain.defaults["momentum"] == 0.5
    assert [id(p) for group in plain.param_groups for p in group["params"]] == [id(p) for p in network[1].parameters()]
    layered = optimizer_for(network.parameters(), Sgd(lr=0.2, trust_coefficient=0.001))
    assert isinstance(layered, Lars) and layered.defaults["trust_coefficient"] == pytest.approx(0.001)
