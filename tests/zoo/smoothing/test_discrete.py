"""The discretised Gaussian has exactly the law of a Gaussian rounded to multiples of 1/255."""

from bisect import bisect_right
from concurrent.futures import ThreadPoolExecutor

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from zoo.errors import CertificationError
from zoo.smoothing.discrete import UNCERTAIN, DiscreteGaussian, discrete_gaussian, levels_of, require_8_bit


def exact_below(level, sigma):
    """P(noise <= level) of the rounded Gaussian, as a 128-bit number."""
    with mpmath.workdps(60):
        return int(mpmath.ncdf((2 * level + 1) / (510 * mpmath.mpf(sigma))) * 2**128)


def words(value):
    """A 128-bit number as its first and second 64 bits."""
    return np.array([value >> 64], dtype=np.uint64), np.array([value & (2**64 - 1)], dtype=np.uint64)


@pytest.mark.parametrize("sigma", [0.12, 0.5, 1.0])
def test_each_level_begins_where_the_exact_distribution_function_says(sigma):
    sampler = discrete_gaussian(sigma)
    for level in (-700, -300, -31, -1, 0, 1, 30, 299):
        begins = exact_below(level, sigma)
        if 2 < begins < 2**128 - 2:
            assert sampler.levels_at(*words(begins + 1))[0] == level + 1
            assert sampler.levels_at(*words(begins - 1))[0] == level


def test_the_later_bits_decide_where_the_first_ones_tie():
    sampler = discrete_gaussian(0.5)
    place = len(sampler.high_T) // 2
    first, second = sampler.high_T[place : place + 1], sampler.low_T[place : place + 1]
    below, at = sampler.levels_at(first, second - np.uint64(1))[0], sampler.levels_at(first, second)[0]
    assert (below, at) == (sampler.smallest + place, sampler.smallest + place + 1)


def test_thresholds_that_share_their_first_64_bits_are_told_apart():
    sampler = discrete_gaussian(0.5)
    shared = int((sampler.high_T == 0).sum())
    assert shared > 1, "far out several thresholds are below 2^-64"
    seconds = np.array([0, *sampler.low_T[:shared], *(sampler.low_T[:shared] - np.uint64(1)), 2**64 - 1], np.uint64)
    found = sampler.levels_at(np.zeros_like(seconds), seconds)
    num_below = (sampler.low_T[:shared] <= seconds[:, None]).sum(axis=1)
    assert np.array_equal(found, sampler.smallest + num_below)


@given(st.lists(st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1)), min_size=1, max_size=50))
def test_cells_that_are_certain_agree_with_the_full_search(uniforms):
    sampler = discrete_gaussian(0.25)
    first, second = (np.array(column, dtype=np.uint64) for column in zip(*uniforms, strict=True))
    cells = first >> np.uint64(48)
    certain = sampler.level_of_cell[cells] != UNCERTAIN
    assert np.array_equal(sampler.level_of_cell[cells][certain], sampler.levels_at(first, second)[certain])


def test_nearly_every_cell_is_certain():
    assert (discrete_gaussian(0.25).level_of_cell != UNCERTAIN).mean() > 0.98


def test_samples_follow_the_law_and_a_slightly_wrong_sigma_is_noticed():
    samples = discrete_gaussian(0.25).sample(np.random.Philox(key=3), 1_000_000)

    def p_value(sigma):
        edges = np.arange(-150, 152, 4)
        expected = np.diff(stats.norm.cdf((2 * edges - 1) / (510 * sigma)))
        expected = np.array([*expected, 1 - expected.sum()]) * len(samples)
        counted = np.histogram(samples, bins=edges - 0.5)[0]
        return stats.chisquare([*counted, len(samples) - counted.sum()], expected).pvalue

    assert p_value(0.25) > 1e-3 > p_value(0.2515)


def test_an_odd_number_of_values_can_be_drawn():
    for num in (1, 2, 3, 5, 17):
        assert discrete_gaussian(0.5).sample(np.random.Philox(key=1), num).shape == (num,)


def test_the_distance_from_the_exact_law_is_far_below_any_alpha():
    assert discrete_gaussian(0.5).total_variation(3 * 224 * 224 * 100_000) < 1e-23


def test_levels_are_those_that_were_divided_by_255():
    levels = np.arange(256)
    assert np.array_equal(levels_of((levels / 255).astype(np.float32)), levels)


def test_pixels_between_two_levels_are_refused():
    require_8_bit(np.float32([0, 1 / 255, 128 / 255, 1]))
    with pytest.raises(CertificationError, match="8-bit"):
        require_8_bit(np.float32([0, 0.5]))
    with pytest.raises(CertificationError, match="8-bit"):
        require_8_bit(np.float32([128 / 255 + 9e-7]))


def test_tables_made_in_several_threads_are_those_made_in_one():
    make, before = discrete_gaussian.__wrapped__, mpmath.mp.dps
    sigmas = [0.1, 0.11, 0.12, 0.13]
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(make, sigmas))
    for sampler, sigma in zip(together, sigmas, strict=True):
        assert np.array_equal(sampler.low_T, make(sigma).low_T)
    assert mpmath.mp.dps == before


def test_a_sample_is_the_level_of_a_uniform_number_of_128_bits_that_are_drawn_when_needed():
    sampler, num = discrete_gaussian(0.25), 4003
    samples, bits = sampler.sample(np.random.Philox(key=3), num), np.random.Philox(key=3)
    cells = bits.random_raw(1001).view(np.uint16)[:num]
    assert (samples[:4].tolist(), samples.sum()) == ([70, 69, -79, 96], 7024), "an identical question draws this noise"
    undecided = np.flatnonzero(sampler.level_of_cell[cells] == UNCERTAIN)
    later = bits.random_raw(2 * len(undecided))
    thresholds = [int(high) << 64 | int(low) for high, low in zip(sampler.high_T, sampler.low_T, strict=True)]
    for sample, cell in zip(samples, cells, strict=True):  # whatever the later bits are
        if sampler.level_of_cell[cell] != UNCERTAIN:
            first, last = int(cell) << 112, (int(cell) + 1 << 112) - 1
            assert bisect_right(thresholds, first) == bisect_right(thresholds, last) == sample - sampler.smallest
    assert len(undecided) > 20
    for place, index in enumerate(undecided):
        number = int(cells[index]) << 112 | int(later[place]) >> 16 << 64 | int(later[len(undecided) + place])
        assert samples[index] == sampler.smallest + bisect_right(thresholds, number)


def test_every_threshold_is_the_exact_one_rounded_to_128_bits_and_the_tails_beyond_them_are_smaller():
    sigma = 0.02
    sampler = discrete_gaussian(sigma)
    thresholds = [int(high) << 64 | int(low) for high, low in zip(sampler.high_T, sampler.low_T, strict=True)]
    assert len(thresholds) == -2 * sampler.smallest
    assert all(abs(found - exact_below(sampler.smallest + place, sigma)) <= 1 for place, found in enumerate(thresholds))
    assert exact_below(sampler.smallest - 1, sigma) == 0 < thresholds[0]
    assert sampler.total_variation(1000) == (len(thresholds) + 2) * 1000 / 2**127


@pytest.mark.parametrize("lowest", [[], [(3, 7)]])
def test_a_number_between_thresholds_of_the_same_first_bits_has_the_level_between_them(lowest):
    high, low = zip(*lowest, (5, 10), (5, 20), (5, 30), (9, 0), strict=True)
    sampler = DiscreteGaussian(
        smallest=-2 - len(lowest),
        high_T=np.array(high, dtype=np.uint64),
        low_T=np.array(low, dtype=np.uint64),
        level_of_cell=np.full(2**16, UNCERTAIN, dtype=np.float32),
    )
    firsts = [3, 4, 5, 5, 5, 5, 5, 6, 8, 9, 2**64 - 1]
    seconds = [7, 2**64 - 1, 9, 10, 25, 29, 30, 0, 2**64 - 1, 0, 0]
    levels = sampler.levels_at(np.array(firsts, dtype=np.uint64), np.array(seconds, dtype=np.uint64))
    assert levels.tolist() == [-2, -2, -2, -1, 0, 0, 1, 1, 1, 2, 2]
    below = sampler.levels_at(np.array([2, 3], dtype=np.uint64), np.array([2**64 - 1, 6], dtype=np.uint64))
    assert below.tolist() == [sampler.smallest] * 2


class TiedBits:
    """Random words for two values in cell 0 whose first 64 bits are 5. There are just as many words as are needed."""

    def __init__(self):
        self.words = iter([[0], [5 << 16, 5 << 16, 9, 10]])

    def random_raw(self, num):
        words = np.array(next(self.words), dtype=np.uint64)
        assert len(words) == num
        return words


def test_a_sample_that_ties_with_a_threshold_is_decided_by_the_last_64_bits_of_its_own():
    sampler = DiscreteGaussian(
        smallest=0,
        high_T=np.array([5], dtype=np.uint64),
        low_T=np.array([10], dtype=np.uint64),
        level_of_cell=np.full(2**16, UNCERTAIN, dtype=np.float32),
    )
    assert sampler.sample(TiedBits(), 2).tolist() == [0, 1]
