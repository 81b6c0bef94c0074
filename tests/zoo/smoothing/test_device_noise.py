"""The device's noise: Philox by its authors' known answers, normal, the same in every batch. The CPU can draw it."""

import numpy as np
import pytest
import torch
from scipy import stats

from tests.zoo.smoothing.fakes import Recorder
from zoo.smoothing.device_noise import noisy_batch, philox_4x32, standard_normal
from zoo.smoothing.noise import Draws, NoiseKey, Phase
from zoo.smoothing.sampler import NoisySampler, SamplingOptions

CPU = torch.device("cpu")
ONES = 0xFFFFFFFF


def row(index=0, *, root=1, job=2, phase=Phase.SELECTION, sigma=0.5, x_CHW=None):
    x_CHW = np.full((3, 5, 5), 0.25, dtype=np.float32) if x_CHW is None else x_CHW
    return Draws(x_CHW, sigma, "gaussian", NoiseKey(root, job), phase, 0, 1), index


# The known-answer file of the Random123 library, philox4x32 with 10 rounds.
@pytest.mark.parametrize(
    ("counter", "key", "answer"),
    [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((ONES,) * 4, (ONES,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_philox_gives_its_authors_known_answers(counter, key, answer):
    words = philox_4x32(tuple(torch.tensor([word]) for word in counter), tuple(torch.tensor([word]) for word in key))
    assert tuple(int(word) for word in words) == answer


def test_noise_is_standard_normal_and_values_of_one_block_are_not_correlated():
    noise_BD = standard_normal([row(index) for index in range(400)], 1001, CPU).numpy().astype(np.float64)
    assert noise_BD.shape == (400, 1001)
    assert stats.kstest(noise_BD.ravel(), "norm").pvalue > 1e-3
    assert stats.kstest(noise_BD.ravel() * 1.01, "norm").pvalue < 1e-3  # the test has power
    blocks_N4 = noise_BD[:, :1000].reshape(-1, 4)
    correlation = np.corrcoef(blocks_N4.T) - np.eye(4)
    assert np.abs(correlation).max() < 0.02
    assert np.abs(np.corrcoef((blocks_N4**2).T) - np.eye(4)).max() < 0.02


def test_every_word_of_the_name_changes_the_noise():
    names = [
        row(index, root=root, job=job, phase=phase)
        for root in (1, 2, 1 + 2**32, 2**64 - 1)
        for job in (1, 2, 1 + 2**32, 2**64 - 1)
        for phase in Phase
        for index in (0, 1)
    ]
    noise_BD = standard_normal(names, 16, CPU)
    assert len({noise.numpy().tobytes() for noise in noise_BD}) == len(names)


def test_a_draw_is_the_same_in_every_batch_and_around_its_own_image():
    other = np.full((3, 5, 5), 0.75, dtype=np.float32)
    rows = [row(0), row(1, x_CHW=other), row(2), row(3, x_CHW=other)]
    together = noisy_batch(rows, CPU)
    for place, each in enumerate(rows):
        assert torch.equal(noisy_batch([each], CPU)[0], together[place])
    unit = standard_normal([row(3)], 75, CPU).view(3, 5, 5)
    torch.testing.assert_close(together[3], 0.75 + 0.5 * unit)


class OnDevice(Recorder):
    """A backend whose device is not the CPU, as far as the sampler can see."""

    draws_on = torch.device("meta")


def test_the_sampler_draws_on_the_device_of_the_backend_and_pads_there(monkeypatch):
    monkeypatch.setattr("zoo.smoothing.sampler.noisy_batch", lambda rows, device: noisy_batch(rows, CPU))
    base = OnDevice()
    draws, _ = row()
    draws = Draws(draws.x_CHW, 0.5, "gaussian", draws.key, draws.phase, 0, 3)
    NoisySampler(base, SamplingOptions(batch_size=4)).votes([draws])
    (seen,) = base.seen
    assert np.array_equal(seen[:3], noisy_batch([(draws, index) for index in range(3)], CPU).numpy())
    assert np.array_equal(seen[3], seen[0])


def test_discrete_noise_beside_it_does_not_change_where_gaussian_noise_is_drawn(monkeypatch):
    monkeypatch.setattr("zoo.smoothing.sampler.noisy_batch", lambda rows, device: noisy_batch(rows, CPU))
    monkeypatch.setattr(torch.Tensor, "to", lambda tensor, device: tensor.clone())
    gaussian, _ = row()
    discrete = Draws(np.full((3, 5, 5), 128 / 255, np.float32), 0.5, "discrete", NoiseKey(3, 4), Phase.SELECTION, 0, 2)
    gaussian = Draws(gaussian.x_CHW, 0.5, "gaussian", gaussian.key, gaussian.phase, 0, 2)
    alone, mixed = OnDevice(), OnDevice()
    NoisySampler(alone, SamplingOptions(batch_size=4)).votes([gaussian])
    NoisySampler(mixed, SamplingOptions(batch_size=4)).votes([discrete, gaussian])
    assert np.array_equal(mixed.seen[0][2:], alone.seen[0][:2])
    levels = mixed.seen[0][:2] * 255
    assert np.abs(levels - np.rint(levels)).max() < 1e-3


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_device_draws_the_words_that_the_host_would():
    counter = tuple(torch.arange(1000) * factor % 2**32 for factor in (1, 7, 11, 13))
    key = (torch.tensor([5]), torch.tensor([6]))
    on_host = philox_4x32(counter, key)
    on_device = philox_4x32(tuple(word.cuda() for word in counter), tuple(word.cuda() for word in key))
    assert all(torch.equal(a, b.cpu()) for a, b in zip(on_host, on_device, strict=True))
