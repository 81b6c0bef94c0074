"""Votes come in the order of the draws, whatever the batches, and memory that runs out halves them."""

import time
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.zoo.smoothing.fakes import Recorder, Threshold
from zoo.errors import CertificationError, OutOfMemoryError
from zoo.smoothing.host_noise import HostNoise
from zoo.smoothing.noise import Draws, NoiseKey, Phase
from zoo.smoothing.sampler import NoisySampler, SamplingOptions

pytestmark = pytest.mark.usefixtures("two_threads")

SHAPE = (3, 4, 4)
KEY = NoiseKey(1, 2)


def draws(*, start=0, num=8, key=KEY, sigma=1.0, pixel=0.0, noise="gaussian"):
    x_CHW = np.full(SHAPE, pixel, dtype=np.float32)
    return Draws(x_CHW, sigma, noise, key, Phase.SELECTION, start, num)


def shown(asked, batch_size):
    """The noisy copies that the base classifier saw, padding left out."""
    base = Recorder()
    NoisySampler(base, SamplingOptions(batch_size=batch_size)).votes(asked)
    return np.concatenate(base.seen)[: sum(each.num for each in asked)]


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 30), st.integers(1, 40), st.integers(0, 30), st.sampled_from(["gaussian", "discrete"]))
def test_noise_is_bit_identical_for_every_batch_size_and_cut(batch_size, num, cut, noise):
    cut = min(cut, num)
    whole = shown([draws(num=num, noise=noise)], batch_size=64)
    other = draws(key=NoiseKey(9, 9), num=3)
    first, rest = draws(num=cut, noise=noise), draws(start=cut, num=num - cut, noise=noise)
    parts = shown([first, other, rest], batch_size)
    assert np.array_equal(np.concatenate([parts[:cut], parts[cut + 3 :]]), whole)


def test_votes_stand_in_the_order_of_the_draws_and_padding_is_left_out():
    asked = [draws(num=5, sigma=0.0, pixel=0.0), draws(num=7, sigma=0.0, pixel=1.0), draws(num=0)]
    votes = NoisySampler(Threshold(at=0.5), SamplingOptions(batch_size=8)).votes(asked)
    assert [list(each) for each in votes] == [[0] * 5, [1] * 7, []]
    asked = draws(num=100, sigma=0.5, pixel=0.5)
    one_by_one = [
        NoisySampler(Threshold(at=0.5), SamplingOptions()).votes([draws(start=i, num=1, sigma=0.5, pixel=0.5)])[0][0]
        for i in range(100)
    ]
    together = NoisySampler(Threshold(at=0.5), SamplingOptions(batch_size=7)).votes([asked])[0]
    assert list(together) == one_by_one and 20 < sum(one_by_one) < 80


def test_nothing_asked_is_nothing_answered():
    assert NoisySampler(Recorder(), SamplingOptions()).votes([]) == []


@pytest.mark.parametrize(("depends", "sizes"), [(True, [8, 8]), (False, [8, 2])])
def test_a_batch_is_padded_only_where_its_shape_matters(depends, sizes):
    base = Recorder()
    base.depends_on_batch_shape = depends
    NoisySampler(base, SamplingOptions(batch_size=8)).votes([draws(num=10)])
    assert [len(batch) for batch in base.seen] == sizes


def test_unused_rows_of_a_batch_hold_a_copy_that_is_as_good_as_the_others():
    base = Recorder()
    NoisySampler(base, SamplingOptions(batch_size=8)).votes([draws(num=3)])
    assert all(np.array_equal(row, base.seen[0][0]) for row in base.seen[0][3:])


class Cramped(Threshold):
    """Has memory for a few images at a time."""

    def __init__(self, *, room):
        super().__init__(at=0.5)
        self.room = room

    def classify(self, x_BCHW):
        if len(x_BCHW) > self.room:
            raise OutOfMemoryError("too much")
        return super().classify(x_BCHW)


def test_a_batch_that_does_not_fit_is_halved_without_a_vote_lost_and_the_backend_says_so():
    asked = [draws(num=100, sigma=0.5, pixel=0.5)]
    sampler = NoisySampler(Cramped(room=5), SamplingOptions(batch_size=32))
    assert sampler.backend == "threshold"
    (votes,) = sampler.votes(asked)
    (expected,) = NoisySampler(Threshold(at=0.5), SamplingOptions(batch_size=32)).votes(asked)
    assert np.array_equal(votes, expected)
    assert sampler.backend == "threshold (batch 4: memory ran out at 32)"


def test_noise_that_does_not_fit_is_halved_too(monkeypatch):
    def no_room(self, num, shape_CHW):
        if num > 4:
            raise MemoryError
        return np.empty((num, *shape_CHW), dtype=np.float32)

    monkeypatch.setattr(HostNoise, "_buffer", no_room)
    sampler = NoisySampler(Threshold(at=0.5), SamplingOptions(batch_size=8))
    assert len(sampler.votes([draws(num=20)])[0]) == 20 and "batch 4" in sampler.backend


def test_after_an_error_no_thread_still_fills_the_memory_that_the_next_batch_reuses():
    noise, other_fills, filled = HostNoise(), Event(), []

    class Failing:
        def fill(self, row_CHW, draws, index):
            assert other_fills.wait(60)
            raise MemoryError

    class Slow:
        def fill(self, row_CHW, draws, index):
            other_fills.set()
            time.sleep(0.1)
            filled.append(index)

    noise._sources = [Failing(), Slow()]
    with pytest.raises(MemoryError):
        noise.copies([(draws(), 0), (draws(), 1)])
    assert filled == [1]


def test_calls_from_several_threads_do_not_mix_their_batches():
    sampler = NoisySampler(Threshold(at=0.5), SamplingOptions(batch_size=16))
    dark, bright = (draws(num=2000, sigma=0.05, pixel=pixel) for pixel in (0.1, 0.9))
    with ThreadPoolExecutor(4) as threads:
        votes = list(threads.map(lambda asked: sampler.votes([asked])[0].sum(), [dark, bright] * 6))
    assert votes == [0, 2000] * 6


@pytest.mark.parametrize("answer", [np.array([1]), np.full(8, 7), np.full(8, -1), np.zeros((8, 2), dtype=int)])
def test_an_answer_that_is_not_a_class_for_each_image_is_refused(answer):
    class Wrong(Threshold):
        def classify(self, x_BCHW):
            return answer

    with pytest.raises(CertificationError, match=r"one class in \[0, 2\) for each of 8 images"):
        NoisySampler(Wrong(at=0.5), SamplingOptions()).votes([draws(num=8)])


def test_a_device_without_room_for_one_image_is_an_error():
    with pytest.raises(OutOfMemoryError):
        NoisySampler(Cramped(room=0), SamplingOptions(batch_size=4)).votes([draws()])


def test_a_batch_of_nothing_is_refused():
    with pytest.raises(CertificationError, match="batch_size"):
        SamplingOptions(batch_size=0)
