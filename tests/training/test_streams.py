"""Named streams are reproducible, distinct, and leave the global generator alone."""

import torch

from training.streams import derived_seed, global_cpu_stream, stream


def test_a_stream_is_a_function_of_its_seed_and_names():
    assert torch.equal(torch.rand(5, generator=stream(1, "noise", 2)), torch.rand(5, generator=stream(1, "noise", 2)))
    names = [(1, "noise", 2), (2, "noise", 2), (1, "order", 2), (1, "noise", 3), (1, "noise"), (1, "noise/2")]
    assert len({derived_seed(root, *rest) & 0xFFFFFFFF for root, *rest in names}) == len(names)


def test_the_global_generator_is_borrowed_and_given_back():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    with global_cpu_stream(7, "weights"):
        inside = torch.rand(3)
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(inside, torch.rand(3, generator=stream(7, "weights")))
