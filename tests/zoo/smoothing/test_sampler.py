"""Noise is Gaussian, keyed by draw, and independent of how draws are packed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from zoo.errors import CertificationError
from zoo.smoothing.sampler import Draws, NoiseKey, NoisySampler, Phase, SamplingOptions, _at_least

SHAPE = (3, 4, 4)
KEY = NoiseKey(1, 2)


class Recorder:
    """A base classifier that keeps what it was shown and names class 0."""

    name = "recorder"
    num_classes = 2

    def __init__(self) -> None:
        self.seen = []

    def classify(self, x_BCHW):
        self.seen.append(x_BCHW.copy())
        return np.zeros(len(x_BCHW), dtype=np.int64)


def draws(*, start=0, num=8, key=KEY, phase=Phase.SELECTION, sigma=1.0, pixel=0.0, shape=SHAPE):
    return Draws(np.full(shape, pixel, dtype=np.float32), sigma, key, phase, start, num)


def shown(asked, batch_size):
    """The noisy copies that the base classifier saw, padding left out."""
    base = Recorder()
    NoisySampler(base, SamplingOptions(batch_size=batch_size)).count_votes(asked)
    return np.concatenate(base.seen)[: sum(each.num for each in asked)]


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 30), st.integers(1, 40), st.integers(0, 30))
def test_noise_is_bit_identical_for_every_batch_size_and_cut(batch_size, num, cut):
    cut = min(cut, num)
    whole = shown([draws(num=num)], batch_size=64)
    other = draws(key=NoiseKey(9, 9), num=3)
    parts = shown([draws(num=cut), other, draws(start=cut, num=num - cut)], batch_size)
    assert np.array_equal(np.concatenate([parts[:cut], parts[cut + 3 :]]), whole)


def test_keys_phases_and_indices_give_different_noise():
    firsts = [
        shown([draws(num=1, key=NoiseKey(root, job), phase=phase, start=start)], 1)[0]
        for root in (1, 1 + 2**32, 2**63, 2**63 + 1, 2**64 - 1)
        for job in (0, 1, 2**63 + 1, 2**63 + 2)
        for phase in Phase
        for start in (0, 1)
    ]
    assert len({first.tobytes() for first in firsts}) == len(firsts)


def test_noise_is_standard_normal_times_sigma_around_the_image():
    noisy = shown([draws(num=2000, sigma=0.5, pixel=0.25)], 256)
    standardized = (noisy.astype(np.float64) - 0.25) / 0.5
    assert stats.kstest(standardized.ravel(), "norm").pvalue > 1e-3
    assert stats.kstest(standardized.ravel(), stats.norm(scale=1.02).cdf).pvalue < 1e-3  # the test has power


def test_noisy_copies_are_not_clamped():
    noisy = shown([draws(num=100, sigma=1.0, pixel=1.0)], 100)
    assert noisy.min() < 0 and noisy.max() > 1


def test_votes_are_counted_for_each_of_the_draws_and_padding_is_not():
    class Sign:
        name, num_classes = "sign", 2

        def classify(self, x_BCHW):
            return (x_BCHW[:, 0, 0, 0] > 0.5).astype(np.int64)

    asked = [draws(num=5, sigma=0.0, pixel=0.0), draws(num=7, sigma=0.0, pixel=1.0), draws(num=0)]
    votes = NoisySampler(Sign(), SamplingOptions(batch_size=8)).count_votes(asked)
    assert [list(counts) for counts in votes] == [[5, 0], [0, 7], [0, 0]]


def test_a_batch_is_padded_only_where_its_shape_is_fixed():
    for fixed, sizes in ((True, [8, 8]), (False, [8, 2])):
        base = Recorder()
        NoisySampler(base, SamplingOptions(batch_size=8, fixed_shape=fixed)).count_votes([draws(num=10)])
        assert [len(batch) for batch in base.seen] == sizes


@pytest.mark.parametrize("words", [(-1, 0), (2**64, 0), (0, 2**64)])
def test_a_key_of_more_than_128_bits_is_refused(words):
    with pytest.raises(CertificationError, match="two words of 64 bits"):
        NoiseKey(*words)


@pytest.mark.parametrize("sigma", [0.12, 0.5, 0.7, 1 / 3, 1e-4])
def test_the_noise_is_at_least_that_of_the_sigma_claimed(sigma):
    (noisy,) = shown([draws(num=1, sigma=sigma)], 1)
    (unit,) = shown([draws(num=1, sigma=1.0)], 1)
    scale = np.float64(noisy[0, 0, 0]) / np.float64(unit[0, 0, 0])
    assert sigma * (1 - 1e-7) < scale < sigma * (1 + 3e-7)
    assert float(_at_least(sigma)) >= sigma


def test_unused_rows_of_a_batch_hold_a_copy_that_is_as_good_as_the_others():
    base = Recorder()
    NoisySampler(base, SamplingOptions(batch_size=8)).count_votes([draws(num=3)])
    assert all(np.array_equal(row, base.seen[0][0]) for row in base.seen[0][3:])


def test_a_batch_of_nothing_is_refused():
    with pytest.raises(CertificationError, match="batch_size"):
        SamplingOptions(batch_size=0)
