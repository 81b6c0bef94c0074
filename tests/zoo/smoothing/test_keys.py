"""Keys of noise are as many bits as they claim, and fresh where nobody asks for a seed."""

import pytest
import torch

from zoo.errors import CertificationError
from zoo.smoothing.keys import fresh_key, root_key


def test_root_keys_have_64_bits():
    generator = torch.Generator().manual_seed(0)
    roots = [root_key(generator).root for _ in range(200)]
    assert len(set(roots)) == 200 and max(roots) > 2**62


def test_keys_are_fresh_and_have_128_bits():
    keys = [fresh_key() for _ in range(200)]
    assert len({(key.root, key.job) for key in keys}) == 200
    assert max(key.root for key in keys) > 2**63 and max(key.job for key in keys) > 2**63


def test_a_fresh_key_does_not_depend_on_any_seed():
    state = torch.get_rng_state()
    torch.manual_seed(0)
    first = fresh_key()
    torch.manual_seed(0)
    assert fresh_key() != first
    torch.set_rng_state(state)


def test_a_number_is_no_generator():
    with pytest.raises(CertificationError, match=r"must be a torch\.Generator, such as .*manual_seed\(0\), got 17"):
        root_key(17)
