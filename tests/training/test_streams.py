"""Named streams are reproducible, distinct, and leave the global generator alone."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.simulated_device import CUDA, simulated_device
from training.streams import derived_seed, global_stream, normal_per_image, stream, uniform_per_image

CPU = torch.device("cpu")
NUMBERS = torch.tensor([5, 0, 17, 2**40, 3, 8])


def rng(seed=3):
    return torch.Generator().manual_seed(seed)


def test_a_stream_is_a_function_of_its_seed_and_names():
    assert torch.equal(torch.rand(5, generator=stream(1, "noise", 2)), torch.rand(5, generator=stream(1, "noise", 2)))
    names = [(1, "noise", 2), (2, "noise", 2), (1, "order", 2), (1, "noise", 3), (1, "noise"), (1, "noise/2")]
    assert len({derived_seed(root, *rest) & 0xFFFFFFFF for root, *rest in names}) == len(names)


def test_the_global_generator_is_borrowed_and_given_back():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    with global_stream(7, "weights"):
        inside = torch.rand(3)
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(inside, torch.rand(3, generator=stream(7, "weights")))


@settings(max_examples=50, deadline=None, derandomize=True)
@given(order=st.permutations(range(6)), cut=st.integers(0, 6), dtype=st.sampled_from([torch.float32, torch.float64]))
def test_the_noise_of_an_image_does_not_depend_on_its_company(order, cut, dtype):
    like = torch.empty(6, 2, 3, 3, dtype=dtype)
    whole = normal_per_image(like, NUMBERS, rng())
    shares = [torch.tensor(part, dtype=torch.int64) for part in (order[:cut], order[cut:])]
    for rows in shares:
        part = normal_per_image(like[rows], NUMBERS[rows], rng())
        assert torch.equal(part, whole[rows]) and part.dtype == dtype
    together = [uniform_per_image(NUMBERS[rows], rng(), device=CPU) for rows in shares if len(rows)]
    assert torch.equal(torch.cat(together), uniform_per_image(NUMBERS, rng(), device=CPU)[torch.cat(shares)])


def test_a_share_without_images_draws_nothing_and_keeps_step():
    """A rank whose share is empty has to have its generator where the others have theirs."""
    empty, full = rng(), rng()
    assert normal_per_image(torch.empty(0, 1, 2, 2), NUMBERS[:0], empty).shape == (0, 1, 2, 2)
    normal_per_image(torch.empty(6, 1, 2, 2), NUMBERS, full)
    assert torch.equal(torch.rand(3, generator=empty), torch.rand(3, generator=full))


def test_noise_differs_between_images_between_draws_and_between_seeds():
    like, generator = torch.empty(6, 2, 3, 3), rng()
    first, second = (normal_per_image(like, NUMBERS, generator) for _ in range(2))
    other = normal_per_image(like, NUMBERS, rng(4))
    rows = [tuple(row.flatten().tolist()) for draw in (first, second, other) for row in draw]
    assert len(set(rows)) == 18
    assert torch.equal(first, normal_per_image(like, NUMBERS, rng()))


def moments(x):
    """Mean, variance and fourth moment, and the correlation of neighbouring images."""
    flat = x.flatten(1)
    return (
        flat.mean().item(),
        flat.var().item(),
        (flat**4).mean().item(),
        (flat[1:] * flat[:-1]).mean().item(),
    )


def is_standard_normal(x):
    """Five standard errors around 0, 1, 3 and 0: of n draws they are 1, sqrt 2, sqrt 96 and 1 over sqrt n."""
    n = x.numel()
    expected = ((0, 1), (1, 2**0.5), (3, 96**0.5), (0, 1))
    return all(
        abs(found - mean) < 5 * spread / n**0.5 for found, (mean, spread) in zip(moments(x), expected, strict=True)
    )


def test_noise_is_standard_normal_and_unlike_noise_is_told_apart():
    numbers = torch.arange(500)
    noise = normal_per_image(torch.empty(500, 1, 10, 20), numbers, rng())
    assert is_standard_normal(noise)
    assert not is_standard_normal(1.03 * noise)
    assert not is_standard_normal(noise + 0.03)
    assert not is_standard_normal(
        (torch.rand(noise.shape, generator=rng()) - 0.5) * 12**0.5
    )  # of mean 0 and variance 1
    assert not is_standard_normal(noise[:1].expand(500, -1, -1, -1))  # the same for all images
    assert is_standard_normal(noise.flatten(1)[:, :1])  # from image to image too


def test_uniform_numbers_are_in_0_to_1_and_spread_over_it():
    u = uniform_per_image(torch.arange(2000), rng(), device=CPU)
    assert u.dtype == torch.float32 and u.shape == (2000,) and len(set(u.tolist())) > 1990
    assert u.min().item() >= 0 and u.max().item() < 1
    counts = torch.histc(u, bins=10, min=0, max=1)
    # Chi squared with 9 degrees of freedom: above 33.7 once in 10,000 seeds.
    assert ((counts - 200) ** 2 / 200).sum().item() < 33.7
    halved = torch.histc(u * 0.9, bins=10, min=0, max=1)
    assert ((halved - 200) ** 2 / 200).sum().item() > 33.7
    assert not torch.equal(u, uniform_per_image(torch.arange(2000), rng(4), device=CPU))


def on_device(numbers, *, seed=3, dtype=torch.float32, shape=(2, 4, 4)):
    """The noise of images on the simulated device, as a tensor of the CPU."""
    like = torch.empty(len(numbers), *shape, dtype=dtype).to(CUDA)
    noise = normal_per_image(like, numbers, rng(seed))
    assert noise.device == CUDA and noise.dtype == dtype
    return noise.cpu()


@pytest.fixture
def without_triton(monkeypatch):
    monkeypatch.setattr("zoo.smoothing.noisy_batch._kernel", lambda device: None)


@pytest.mark.usefixtures("without_triton")
def test_noise_on_a_device_is_keyed_by_image_and_takes_one_copy_and_no_wait():
    with simulated_device() as traffic:
        whole = on_device(NUMBERS, dtype=torch.float64)
        assert torch.equal(on_device(NUMBERS[[4, 1]], dtype=torch.float64), whole[[4, 1]])
        other = on_device(NUMBERS, seed=4, dtype=torch.float64)
        rows = {tuple(row.flatten().tolist()) for row in torch.cat([whole, other])}
        assert len(rows) == 12, "images whose numbers differ in either half, and seeds, have noise of their own"
        assert on_device(NUMBERS[:0]).shape == (0, 2, 4, 4)
        many = on_device(torch.arange(100), shape=(3, 8, 8))
        like = torch.empty(6, 2, 4, 4).to(CUDA)
        traffic.clear()
        normal_per_image(like, NUMBERS, rng())
        assert (traffic.copies_in.total(), traffic.waits.total()) == (1, 0), traffic
    assert abs(float(many.mean())) < 0.03 and abs(float(many.std()) - 1) < 0.03


@pytest.mark.usefixtures("without_triton")
def test_a_share_without_images_keeps_step_on_a_device_too():
    empty, full = rng(), rng()
    with simulated_device():
        normal_per_image(torch.empty(0, 1, 2, 2).to(CUDA), NUMBERS[:0], empty)
        normal_per_image(torch.empty(6, 1, 2, 2).to(CUDA), NUMBERS, full)
    assert torch.equal(torch.rand(3, generator=empty), torch.rand(3, generator=full))
