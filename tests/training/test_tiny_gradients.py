"""The direction of a tiny gradient has unit norm too: a network that is sure of its answer is attacked all the same."""

import pytest
import torch

from training.threat import ThreatModel


@pytest.mark.parametrize("exponent", [-9, -11, -15])
def test_the_steepest_direction_has_unit_norm_however_small_the_gradient(exponent):
    gradient = torch.full((1, 1, 2, 2), 10.0**exponent)
    assert ThreatModel(norm="l2").steepest(gradient).norm().item() == pytest.approx(1, abs=1e-4)
