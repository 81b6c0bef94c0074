"""Noisy copies drawn on the host by NumPy's generators, in threads."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait

import numpy as np
import torch
from torch import Tensor

from zoo.smoothing.noise import Draws, NoiseSource, Pixels

SMALLEST_FOR_THREADS = 2**14


class HostNoise:
    """Draws batches of noisy copies. Its threads and its memory are reused by later batches."""

    def __init__(self) -> None:
        self._noisy_MCHW: Pixels | None = None
        self._sources = [NoiseSource() for _ in range(max(1, torch.get_num_threads()))]
        self._threads = ThreadPoolExecutor(len(self._sources), thread_name_prefix="noise")

    def copies(self, rows: Sequence[tuple[Draws, int]]) -> Tensor:
        """The noisy copies `noisy_MCHW` of rows, which are draws and an index. The next call overwrites them."""
        noisy_MCHW = self._buffer(len(rows), rows[0][0].x_CHW.shape)
        num_threads = min(len(self._sources), len(rows)) if _is_worth_threads(rows[0][0]) else 1

        def fill_rows(first: int) -> None:
            for position in range(first, len(rows), num_threads):
                self._sources[first].fill(noisy_MCHW[position], *rows[position])

        if num_threads == 1:
            fill_rows(0)
        else:
            filling = [self._threads.submit(fill_rows, first) for first in range(num_threads)]
            try:
                for each in filling:
                    each.result()
            finally:
                wait(filling)  # after an error or an interruption, the next call must find the memory and sources idle
        return torch.from_numpy(noisy_MCHW)

    def forget(self) -> None:
        """Frees the memory of the last batch."""
        self._noisy_MCHW = None

    def _buffer(self, num: int, shape_CHW: tuple[int, ...]) -> Pixels:
        """Memory for one batch, reused by later batches that are not larger."""
        kept = self._noisy_MCHW
        if kept is None or kept.shape[1:] != shape_CHW or len(kept) < num:
            kept = self._noisy_MCHW = np.empty((num, *shape_CHW), dtype=np.float32)
        return kept[:num]


def _is_worth_threads(draws: Draws) -> bool:
    """Whether several threads draw this noise faster than one thread.

    Discrete noise on a small image takes many short steps. Threads would wait for each other between the steps, so one
    thread is faster.
    """
    return draws.noise == "gaussian" or draws.x_CHW.size >= SMALLEST_FOR_THREADS
