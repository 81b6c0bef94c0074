"""The network as an attack sees it, and as it is afterwards."""

import pytest
import torch
from torch import nn

from training.attacks import under_attack
from training.precision import MixedPrecision


@pytest.fixture
def network():
    """In train mode, but for a part in eval mode, with one frozen parameter."""
    network = nn.Sequential(nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2), nn.Dropout(0.5), nn.Flatten(), nn.Linear(18, 3))
    network.train()
    network[4].eval()
    network[0].bias.requires_grad_(False)
    return network


def state(network):
    return (
        [part.training for part in network.modules()],
        [parameter.requires_grad for parameter in network.parameters()],
        {name: value.clone() for name, value in network.state_dict().items()},
    )


def assert_restored(network, before):
    modes, requirements, values = state(network)
    assert modes == before[0] and requirements == before[1]
    assert all(torch.equal(values[name], before[2][name]) for name in before[2])
    assert all(parameter.grad is None for parameter in network.parameters())


def test_inside_it_is_in_eval_mode_and_only_the_input_gets_a_gradient(network):
    before = state(network)
    x_BCHW = torch.rand(4, 3, 5, 5, generator=torch.Generator().manual_seed(1)).requires_grad_()
    with under_attack(network) as target:
        assert not any(part.training for part in target.modules())
        assert not any(parameter.requires_grad for parameter in target.parameters())
        first, second = target(x_BCHW), target(x_BCHW)
        assert torch.equal(first, second)  # no dropout
        (gradient,) = torch.autograd.grad(first.sum(), x_BCHW)
    assert bool((gradient != 0).any())
    assert_restored(network, before)


def test_the_same_pass_in_train_mode_would_leave_traces(network):
    """What the test above rests on."""
    before = state(network)
    network(torch.rand(4, 3, 5, 5))
    assert not torch.equal(network[1].running_mean, before[2]["1.running_mean"])


def test_an_error_inside_leaves_the_network_as_it_was(network):
    before = state(network)
    with pytest.raises(ZeroDivisionError), under_attack(network):
        raise ZeroDivisionError
    assert_restored(network, before)


def test_a_network_in_eval_mode_stays_so(network):
    network.eval()
    before = state(network)
    with under_attack(network):
        pass
    assert_restored(network, before)


def test_it_is_seen_in_full_precision(network):
    mixed = MixedPrecision(network)
    mixed.train()
    x_BCHW = torch.rand(4, 3, 5, 5, generator=torch.Generator().manual_seed(1))
    with under_attack(mixed) as target:
        exact = target(x_BCHW)
        assert target is network and not network.training
    network.eval()
    assert torch.equal(exact, network(x_BCHW)) and not torch.equal(exact, mixed(x_BCHW))


def test_a_function_is_taken_as_it_is():
    function = torch.tanh
    with under_attack(function) as target:
        assert target is function
