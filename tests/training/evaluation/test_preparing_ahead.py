"""Images are prepared ahead in order, a few at a time, and a broken one is reported in its turn."""

import threading

import pytest
from PIL import Image

from training.evaluation.preparing_ahead import NUM_AHEAD, prepared_ahead
from zoo.models.spec import Preprocessing

SMALL = Preprocessing(resize=4, crop=4)


class Images:
    """Gray images whose value is their index; `read` lists the indices that were read."""

    def __init__(self, *, broken=None):
        self.broken, self.read, self.threads = broken, [], set()

    def __getitem__(self, index):
        self.read.append(index)
        self.threads.add(threading.current_thread().name)
        if index == self.broken:
            raise OSError(f"image {index} is broken")
        return Image.new("RGB", (4, 4), (index, index, index))


def test_images_come_in_order_from_another_thread_and_at_most_eight_are_waiting():
    images, indices = Images(), [3, 1, 4, 15, 9, 2, 6, 5, 35, 8, 97, 93]
    for position, (index, x_CHW) in enumerate(prepared_ahead(images, indices, SMALL)):
        assert index == indices[position] and round(float(x_CHW[0, 0, 0]) * 255) == index
        assert len(images.read) <= position + 1 + NUM_AHEAD
    assert images.read == indices
    assert len(images.threads) == 1 and threading.current_thread().name not in images.threads


def test_several_threads_prepare_images_that_come_in_order():
    class Meeting(Images):
        """Returns the first two images only when both are being read, which takes two threads."""

        both = threading.Barrier(2)

        def __getitem__(self, index):
            if index < 2:
                self.both.wait(timeout=60)
            return super().__getitem__(index)

    prepared = prepared_ahead(Meeting(), range(20), SMALL, num_threads=2)
    assert [(index, round(float(x_CHW[0, 0, 0]) * 255)) for index, x_CHW in prepared] == [(n, n) for n in range(20)]


def test_an_image_that_cannot_be_read_raises_in_its_turn():
    prepared = prepared_ahead(Images(broken=2), [0, 1, 2, 3], SMALL)
    assert [next(prepared)[0] for _ in range(2)] == [0, 1]
    with pytest.raises(OSError, match="image 2 is broken"):
        next(prepared)


def test_a_loop_that_ends_early_leaves_no_thread():
    before = threading.active_count()
    prepared = prepared_ahead(Images(), range(100), SMALL)
    next(prepared)
    prepared.close()
    assert threading.active_count() == before
