"""Prepares the next images in a thread or in processes while the network classifies the draws of earlier ones."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from training.tasks import LabelledImages
from training.tasks.loading import loaded_batches
from zoo.models.preprocessing import prepare
from zoo.models.spec import Preprocessing

NUM_AHEAD = 8


class _PreparedImages(Dataset[Tensor]):
    """The images `x_CHW`, by index."""

    def __init__(self, images: LabelledImages, preprocessing: Preprocessing) -> None:
        self.images, self.preprocessing = images, preprocessing

    def __getitem__(self, index: int) -> Tensor:
        return prepare(self.images[index], self.preprocessing)


def prepared_ahead(
    images: LabelledImages, indices: Sequence[int], preprocessing: Preprocessing, *, num_workers: int = 0
) -> Generator[tuple[int, Tensor]]:
    """Yields each index with its image `x_CHW`, in order. An image that cannot be read raises its error in its turn.

    Args:
        images: The images.
        indices: The indices of the images to prepare.
        preprocessing: The preparation of the images.
        num_workers: Processes that prepare images, two each before they are needed. Without them, one thread prepares
            at most 8 images before they are needed, one after another, as a loop without threads would.
    """
    if num_workers == 0:
        yield from _prepared_by_thread(images, indices, preprocessing)
        return
    loader = DataLoader(
        _PreparedImages(images, preprocessing), batch_size=None, sampler=indices, num_workers=num_workers
    )
    yield from zip(indices, loaded_batches(loader), strict=True)


def _prepared_by_thread(
    images: LabelledImages, indices: Sequence[int], preprocessing: Preprocessing
) -> Generator[tuple[int, Tensor]]:
    remaining = iter(indices)
    pending: deque[tuple[int, Future[Tensor]]] = deque()
    executor = ThreadPoolExecutor(1, thread_name_prefix="prepare")

    def submit_next() -> None:
        index = next(remaining, None)
        if index is not None:
            pending.append((index, executor.submit(lambda: prepare(images[index], preprocessing))))

    try:
        for _ in range(NUM_AHEAD):
            submit_next()
        while pending:
            index, future = pending.popleft()
            x_CHW = future.result()
            submit_next()
            yield index, x_CHW
    finally:
        executor.shutdown(cancel_futures=True)
