"""Prepares the next images in threads of their own while the network classifies the draws of earlier ones."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from torch import Tensor

from training.tasks import LabelledImages
from zoo.models.preprocessing import prepare
from zoo.models.spec import Preprocessing

NUM_AHEAD = 8


def prepared_ahead(
    images: LabelledImages, indices: Sequence[int], preprocessing: Preprocessing, *, num_threads: int = 1
) -> Generator[tuple[int, Tensor]]:
    """Yields each index with its image `x_CHW`, in order.

    At most 8 images per thread are prepared before they are needed. One thread reads them one after another, as a loop
    without threads would. Decoding and resizing leave Python's lock to other threads. An image that cannot be read
    raises its error when its turn comes.
    """
    remaining = iter(indices)
    pending: deque[tuple[int, Future[Tensor]]] = deque()
    executor = ThreadPoolExecutor(num_threads, thread_name_prefix="prepare")

    def submit_next() -> None:
        index = next(remaining, None)
        if index is not None:
            pending.append((index, executor.submit(lambda: prepare(images[index], preprocessing))))

    try:
        for _ in range(NUM_AHEAD * num_threads):
            submit_next()
        while pending:
            index, future = pending.popleft()
            x_CHW = future.result()
            submit_next()
            yield index, x_CHW
    finally:
        executor.shutdown(cancel_futures=True)
