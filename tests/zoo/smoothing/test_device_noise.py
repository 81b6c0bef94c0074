"""The device's noise: Philox by its authors' known answers, normal, the same in every batch. The CPU can draw it."""

import numpy as np
import pytest
import torch
from scipy import stats

from zoo.smoothing.device_noise import DeviceMemory, normal_numbers, philox_4x32
from zoo.smoothing.noise import Draws, NoiseKey, Phase
from zoo.smoothing.noisy_batch import noisy_batch

CPU = torch.device("cpu")
ONES = 0xFFFFFFFF


def draw(index=0, *, root=1, job=2, phase=Phase.SELECTION, sigma=0.5, x_CHW=None, num=1):
    x_CHW = np.full((3, 5, 5), 0.25, dtype=np.float32) if x_CHW is None else x_CHW
    return Draws(x_CHW, sigma, "gaussian", NoiseKey(root, job), phase, index, num)


def moved(*draws):
    return DeviceMemory(CPU).moved(draws)


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
    noise_BD = normal_numbers(moved(draw(num=400)).words_M5, 1001).numpy().astype(np.float64)
    assert noise_BD.shape == (400, 1001)
    assert stats.kstest(noise_BD.ravel(), "norm").pvalue > 1e-3
    assert stats.kstest(noise_BD.ravel() * 1.01, "norm").pvalue < 1e-3  # the test has power
    blocks_N4 = noise_BD[:, :1000].reshape(-1, 4)
    correlation = np.corrcoef(blocks_N4.T) - np.eye(4)
    assert np.abs(correlation).max() < 0.02
    assert np.abs(np.corrcoef((blocks_N4**2).T) - np.eye(4)).max() < 0.02


def test_every_word_of_the_name_changes_the_noise():
    names = [
        draw(index, root=root, job=job, phase=phase)
        for root in (1, 2, 1 + 2**32, 2**64 - 1)
        for job in (1, 2, 1 + 2**32, 2**64 - 1)
        for phase in Phase
        for index in (0, 1)
    ]
    noise_BD = normal_numbers(moved(*names).words_M5, 16)
    assert len({noise.numpy().tobytes() for noise in noise_BD}) == len(names)


def test_a_draw_is_the_same_in_every_batch_and_around_its_own_image():
    other = np.full((3, 5, 5), 0.75, dtype=np.float32)
    draws = [draw(0), draw(1, x_CHW=other), draw(2), draw(3, x_CHW=other)]
    together = moved(*draws)
    assert len(together.images_NCHW) == 3  # two draws share an image
    for row, each in enumerate(draws):
        assert torch.equal(noisy_batch(moved(each))[0], noisy_batch(together)[row])
        assert torch.equal(noisy_batch(together.part(row, row + 1))[0], noisy_batch(together)[row])
    unit = normal_numbers(moved(draws[3]).words_M5, 75).view(3, 5, 5)
    torch.testing.assert_close(noisy_batch(together)[3], 0.75 + 0.5 * unit)


def test_images_stay_on_the_device_from_call_to_call_and_each_draw_keeps_its_own():
    memory = DeviceMemory(CPU)
    pictures = [np.full((1, 2, 2), value / 8, dtype=np.float32) for value in range(5)]
    for chosen in ([0], [0], [0, 1, 2], [2, 0], [3, 2], [2, 3], [4], [0, 4, 1]):
        draws = [draw(x_CHW=pictures[number], sigma=0.0, num=2) for number in chosen]
        on_device = memory.moved(draws)
        seen = on_device.images_NCHW[on_device.position_M][:, 0, 0, 0]
        assert seen.tolist() == [number / 8 for number in chosen for _ in range(2)]


def test_each_draw_keeps_its_own_image_also_after_an_interruption(monkeypatch):
    memory = DeviceMemory(CPU)
    pictures = [np.full((1, 2, 2), value / 8, dtype=np.float32) for value in range(3)]
    draws = [draw(x_CHW=x_CHW, sigma=0.0) for x_CHW in pictures]

    def interrupted(x_CHW):
        raise KeyboardInterrupt

    memory.moved(draws[:2])
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("zoo.smoothing.device_noise.ref", interrupted)
        memory.moved([draws[0], draws[2]])  # orders the images anew
    on_device = memory.moved(draws[:2])
    assert on_device.images_NCHW[on_device.position_M][:, 0, 0, 0].tolist() == [0, 1 / 8]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_device_draws_the_words_that_the_host_would():
    counter = tuple(torch.arange(1000) * factor % 2**32 for factor in (1, 7, 11, 13))
    key = (torch.tensor([5]), torch.tensor([6]))
    on_host = philox_4x32(counter, key)
    on_device = philox_4x32(tuple(word.cuda() for word in counter), tuple(word.cuda() for word in key))
    assert all(torch.equal(a, b.cpu()) for a, b in zip(on_host, on_device, strict=True))
