"""Noise has the law that the theorem asks for, and depends on its key, phase and index alone."""

import numpy as np
import pytest
from scipy import stats

from zoo.errors import CertificationError
from zoo.smoothing.noise import Draws, NoiseKey, NoiseSource, Phase, at_least, require_noise

KEY = NoiseKey(1, 2)
SOURCE = NoiseSource()


def noisy(index=0, *, key=KEY, phase=Phase.SELECTION, sigma=1.0, pixel=0.0, noise="gaussian", shape=(3, 4, 4)):
    """Noisy copy number `index` of a plain image."""
    row_CHW = np.empty(shape, dtype=np.float32)
    draws = Draws(np.full(shape, pixel, dtype=np.float32), sigma, noise, key, phase, 0, 1)
    SOURCE.fill(row_CHW, draws, index)
    return row_CHW


@pytest.mark.parametrize("noise", ["gaussian", "discrete"])
def test_keys_phases_and_indices_give_different_noise_and_equal_ones_the_same(noise):
    def all_of_them():
        return [
            noisy(index, key=NoiseKey(root, job), phase=phase, noise=noise).tobytes()
            for root in (1, 1 + 2**32, 2**63, 2**63 + 1, 2**64 - 1)
            for job in (0, 1, 2**63 + 1, 2**63 + 2)
            for phase in Phase
            for index in (0, 1)
        ]

    assert len(set(all_of_them())) == len(all_of_them())
    assert all_of_them() == all_of_them()


def test_gaussian_noise_is_standard_normal_times_sigma_around_the_image():
    copies = np.stack([noisy(index, sigma=0.5, pixel=0.25) for index in range(2000)])
    standardized = (copies.astype(np.float64) - 0.25) / 0.5
    assert stats.kstest(standardized.ravel(), "norm").pvalue > 1e-3
    assert stats.kstest(standardized.ravel(), stats.norm(scale=1.02).cdf).pvalue < 1e-3  # the test has power


def test_the_generator_stands_where_numpys_own_philox_would_begin():
    philox = np.random.Philox(key=np.array([2**63 + 5, 7], np.uint64), counter=np.array([0, 0, 9, 1], np.uint64))
    expected = np.random.Generator(philox).standard_normal((3, 4, 4), dtype=np.float32)
    noisy(3)  # wherever it stood before
    assert np.array_equal(noisy(9, key=NoiseKey(2**63 + 5, 7), phase=Phase.ESTIMATION), expected)


@pytest.mark.parametrize("noise", ["gaussian", "discrete"])
def test_noisy_copies_are_not_clamped(noise):
    copies = noisy(pixel=1.0, noise=noise, shape=(3, 32, 32))
    assert copies.min() < 0 and copies.max() > 1


@pytest.mark.parametrize("noise", ["gaussian", "discrete"])
def test_sigma_zero_is_the_image_itself(noise):
    assert np.array_equal(noisy(sigma=0.0, pixel=0.2, noise=noise), np.full((3, 4, 4), 0.2, dtype=np.float32))


@pytest.mark.parametrize("sigma", [0.12, 0.5, 0.7, 1 / 3, 1e-4])
def test_gaussian_noise_is_at_least_that_of_the_sigma_claimed(sigma):
    scale = np.float64(noisy(sigma=sigma)[0, 0, 0]) / np.float64(noisy()[0, 0, 0])
    assert sigma * (1 - 1e-7) < scale < sigma * (1 + 3e-7)
    assert float(at_least(sigma)) >= sigma


def test_discrete_noise_moves_pixels_by_whole_levels():
    levels = noisy(noise="discrete", sigma=0.25, pixel=100 / 255, shape=(3, 32, 32)) * np.float32(255)
    assert np.abs(levels - np.rint(levels)).max() < 1e-3
    assert 0.24 < (levels / 255).std() < 0.26


@pytest.mark.parametrize("words", [(-1, 0), (2**64, 0), (0, 2**64), (1.0, 0)])
def test_a_key_of_more_than_128_bits_is_refused(words):
    with pytest.raises(CertificationError, match="two 64-bit words"):
        NoiseKey(*words)


def test_an_unknown_noise_is_refused_by_name():
    with pytest.raises(CertificationError, match="gaussian or discrete, got 'uniform'"):
        require_noise("uniform", sigma=0.5)
    with pytest.raises(CertificationError, match="sigma must be at most 10 for discrete noise, got 11"):
        require_noise("discrete", sigma=11)
    require_noise("discrete", sigma=10.0)
    require_noise("gaussian", sigma=11.0)
