"""What counts as the same network, and what does not."""

import numpy as np
import pytest
import torch

from zoo.errors import BackendError
from zoo.export.parity import compare, compare_on_probes, probes, require_parity

LOGITS_BK = np.array([[20.0, -3.0, 19.0], [0.5, 0.4, 0.1]], dtype=np.float32)


def shifted(by, *, row=0):
    other_BK = LOGITS_BK.copy()
    other_BK[row, 2] += by
    return compare("some inputs", LOGITS_BK, other_BK)


def test_the_tolerance_grows_with_the_logits():
    assert shifted(1.5e-3).is_within_tolerance and not shifted(3e-3).is_within_tolerance
    assert shifted(5e-5, row=1).is_within_tolerance and not shifted(1e-4, row=1).is_within_tolerance


def test_it_tells_the_largest_difference_and_for_how_many_the_class_is_the_same():
    parity = shifted(2.0)
    assert parity.largest_difference == pytest.approx(2) and parity.relative_difference == pytest.approx(0.1)
    assert parity.argmax_agreement == 0.5


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_answer_that_is_not_finite_is_not_the_same(value):
    assert not shifted(value).is_within_tolerance
    same_BK = np.where(LOGITS_BK == 20, value, LOGITS_BK)
    assert not compare("some inputs", same_BK, same_BK).is_within_tolerance


def test_the_probes_go_far_outside_the_unit_range_and_come_alone_and_together():
    found = {f"{name} {len(x_BCHW)}": x_BCHW for name, x_BCHW in probes(size=8, seed=0)}
    assert min(x_BCHW.min() for x_BCHW in found.values()) <= -1000
    assert any(bool((x_BCHW == 0).all()) for x_BCHW in found.values())
    assert any(bool((x_BCHW == 1).all()) for x_BCHW in found.values())
    assert {len(x_BCHW) for x_BCHW in found.values()} == {1, 8, 9}


def test_a_network_that_clamps_its_input_is_told_from_one_that_does_not():
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, 4))

    def clamping(x_BCHW):
        with torch.inference_mode():
            return network(x_BCHW.clamp(0, 1)).numpy()

    parities = compare_on_probes(network, clamping, size=8)
    assert {parity.is_within_tolerance for parity in parities if "[0, 1]" in parity.inputs} == {True}
    with pytest.raises(BackendError, match=r"on noise of sigma 1 .* nothing was written"):
        require_parity(parities)
