"""Noisy votes: the base classifier's class for each noisy copy, in batches shared by many images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from zoo.errors import CertificationError, OutOfMemoryError
from zoo.smoothing.arguments import checked_count
from zoo.smoothing.backends import BaseClassifier, Classes, Logits, ScoringClassifier
from zoo.smoothing.device_noise import noisy_batch
from zoo.smoothing.noise import Draws, NoiseSource, Pixels

SMALLEST_FOR_THREADS = 2**14

Outputs = npt.NDArray[Any]
"""The classes `classes_M` of noisy copies; their logits `logits_MK` if the draws read logits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingOptions:
    """Options that change the speed, never the meaning of a result.

    `batch_size`: noisy copies per forward pass. If a backend's logits depend on the batch's shape, smaller batches are
    padded to this size. Votes are then the same in every packing.
    """

    batch_size: int = 256

    def __post_init__(self) -> None:
        object.__setattr__(self, "batch_size", checked_count("batch_size", self.batch_size))


class NoisySampler:
    """Draws noisy copies and classifies them with the base classifier.

    If a batch does not fit into memory, the batch size is halved permanently, and `backend` reports the reduced size.
    """

    def __init__(self, base: BaseClassifier, options: SamplingOptions) -> None:
        self.base = base
        self.options = options
        self._inner_batch_size = options.batch_size
        self._noisy_MCHW: Pixels | None = None
        self._lock = Lock()
        self._sources = [NoiseSource() for _ in range(max(1, torch.get_num_threads()))]
        self._threads = ThreadPoolExecutor(len(self._sources), thread_name_prefix="noise")

    @property
    def backend(self) -> str:
        """The backend's name for certificates and logs; includes the reduced batch size if memory ran out."""
        if self._inner_batch_size == self.options.batch_size:
            return self.base.name
        return f"{self.base.name} (batch {self._inner_batch_size}: memory ran out at {self.options.batch_size})"

    def votes(self, draws: Sequence[Draws]) -> list[Outputs]:
        """The classes of the noisy copies, one array per element of `draws`, in the order of the draws' counters.

        Draws that read logits get the logits of their copies instead, from the same batches. All images must
        have the same shape. Only one call runs at a time, because batches share their memory; calls from other threads
        wait.
        Raises: CertificationError if draws read logits and the backend returns classes only; the backend's errors.
        """
        with self._lock:
            return self._votes(draws)

    def copies(self, draws: Draws) -> Tensor:
        """The noisy copies `noisy_MCHW` that the base classifier receives for these draws, on the CPU."""
        rows = [(draws, index) for index in _indices(draws)]
        with self._lock:
            return torch.cat([self._draw(rows[at : at + 1]).to("cpu", copy=True) for at in range(len(rows))])

    def _draw(self, rows: Sequence[tuple[Draws, int]]) -> Tensor:
        return self._draw_on_host(rows) if self.base.draws_on.type == "cpu" else self._draw_on_device(rows)

    def _votes(self, draws: Sequence[Draws]) -> list[Outputs]:
        rows = [(job_draws, index) for job_draws in draws for index in _indices(job_draws)]
        classes = np.empty(len(rows), dtype=np.int64)
        logits: dict[int, Logits] = {}  # logits_K by row
        done = 0
        while done < len(rows):
            batch = rows[done : done + self._inner_batch_size]
            try:
                classes[done : done + len(batch)], read = self._classify(batch)
                logits |= {done + row: logits_K for row, logits_K in read.items()}
            except OutOfMemoryError:
                if self._inner_batch_size == 1:
                    raise
                self._inner_batch_size //= 2
                self._noisy_MCHW = None
            else:
                done += len(batch)
        ends = np.cumsum([job_draws.num for job_draws in draws]).tolist()
        return [
            np.stack([logits[row] for row in range(end - job_draws.num, end)])
            if job_draws.reads_logits
            else classes[end - job_draws.num : end]
            for job_draws, end in zip(draws, ends, strict=True)
        ]

    def _classify(self, rows: Sequence[tuple[Draws, int]]) -> tuple[Classes, dict[int, Logits]]:
        """The classes of the rows, and the logits of those rows that read them."""
        try:
            noisy_MCHW = self._padded(self._draw(rows))
        except (torch.OutOfMemoryError, MemoryError) as error:
            raise OutOfMemoryError(f"there is not enough memory for the noise of {len(rows)} draws") from error
        reading = [row for row, (draws, _) in enumerate(rows) if draws.reads_logits]
        logits_RK: Iterable[Logits] = ()
        if reading:
            classes_M, logits_RK = self._scoring_base().classify_and_read(noisy_MCHW, reading)
        else:
            classes_M = self.base.classify(noisy_MCHW)
        num_classes = self.base.num_classes
        if classes_M.shape != (len(noisy_MCHW),) or classes_M.min() < 0 or classes_M.max() >= num_classes:
            raise CertificationError(
                f"the backend must return one class in [0, {num_classes}) for each of {len(noisy_MCHW)} images, "
                f"got an array of shape {classes_M.shape} that begins with {classes_M.tolist()[:5]}"
            )
        return classes_M[: len(rows)], dict(zip(reading, logits_RK, strict=True))

    def _scoring_base(self) -> ScoringClassifier:
        if not isinstance(self.base, ScoringClassifier):
            raise CertificationError(f"the backend {self.base.name} returns classes only, and label sets need logits")
        return self.base

    def _padded(self, noisy_MCHW: Tensor) -> Tensor:
        """The noisy copies, padded with the first copy to the batch size if the backend needs a fixed one."""
        missing = self._inner_batch_size - len(noisy_MCHW)
        if missing == 0 or not self.base.depends_on_batch_shape:
            return noisy_MCHW
        return torch.cat([noisy_MCHW, noisy_MCHW[:1].expand(missing, -1, -1, -1)])

    def _draw_on_device(self, rows: Sequence[tuple[Draws, int]]) -> Tensor:
        """The noisy copies, with Gaussian noise drawn on the device and discrete noise drawn on the host.

        A row does not depend on the other rows of its batch.
        """
        device = self.base.draws_on
        positions = [position for position, (draws, _) in enumerate(rows) if draws.noise == "gaussian"]
        if len(positions) == len(rows):
            return noisy_batch(rows, device)
        noisy_MCHW = self._draw_on_host(rows).to(device)
        if positions:
            noisy_MCHW[positions] = noisy_batch([rows[position] for position in positions], device)
        return noisy_MCHW

    def _draw_on_host(self, rows: Sequence[tuple[Draws, int]]) -> Tensor:
        noisy_MCHW = self._buffer(rows[0][0].x_CHW.shape)
        num_threads = min(len(self._sources), len(rows)) if _is_worth_threads(rows[0][0]) else 1

        def fill_rows(first: int) -> None:
            for position in range(first, len(rows), num_threads):
                self._sources[first].fill(noisy_MCHW[position], *rows[position])

        if num_threads == 1:
            fill_rows(0)
        else:
            list(self._threads.map(fill_rows, range(num_threads)))
        return torch.from_numpy(noisy_MCHW[: len(rows)])

    def _buffer(self, shape_CHW: tuple[int, ...]) -> Pixels:
        """Memory for one batch, reused by later batches."""
        if self._noisy_MCHW is None or self._noisy_MCHW.shape[1:] != shape_CHW:
            self._noisy_MCHW = np.empty((self._inner_batch_size, *shape_CHW), dtype=np.float32)
        return self._noisy_MCHW


def _indices(draws: Draws) -> range:
    return range(draws.start, draws.start + draws.num)


def _is_worth_threads(draws: Draws) -> bool:
    """Whether several threads draw this noise faster than one thread.

    Discrete noise on a small image takes many short steps. Threads would wait for each other between the steps, so one
    thread is faster.
    """
    return draws.noise == "gaussian" or draws.x_CHW.size >= SMALLEST_FOR_THREADS
