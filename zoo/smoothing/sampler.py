"""Noisy votes: the base classifier's class for each noisy copy, in batches shared by many images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from threading import Lock

import numpy as np
import torch
from torch import Tensor

from zoo.errors import CertificationError, OutOfMemoryError
from zoo.smoothing.arguments import checked_count
from zoo.smoothing.backends import BaseClassifier, DeviceClassifier, Logits, ScoringClassifier
from zoo.smoothing.backends.base import classes_on_device
from zoo.smoothing.backends.pytorch import is_out_of_memory
from zoo.smoothing.device_noise import DeviceDraws, DeviceMemory
from zoo.smoothing.enqueued_votes import ClassifiedBatch, EnqueuedVotes, Outputs
from zoo.smoothing.host_noise import HostNoise
from zoo.smoothing.noise import Draws
from zoo.smoothing.noisy_batch import noisy_batch

CopiesOf = Callable[[int, int], Tensor]
"""The noisy copies of the draws in a range of rows, from the first up to, without, the last."""


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
        self._host_noise = HostNoise()
        self._device_memory = DeviceMemory(base.draws_on)
        self._last: torch.cuda.Event | None = None
        self._lock = Lock()

    @property
    def backend(self) -> str:
        """The backend's name for certificates and logs; includes the reduced batch size if memory ran out."""
        if self._inner_batch_size == self.options.batch_size:
            return self.base.name
        return f"{self.base.name} (batch {self._inner_batch_size}: memory ran out at {self.options.batch_size})"

    def votes(self, draws: Sequence[Draws]) -> list[Outputs]:
        """The classes of the noisy copies, one array per element of `draws`, in the order of the draws' counters.

        Draws that read logits get the logits of their copies instead, from the same batches. All images must
        have the same shape.
        Raises: CertificationError if draws read logits and the backend returns classes only; the backend's errors.
        """
        return self.enqueue(draws).read()

    def enqueue(self, draws: Sequence[Draws]) -> EnqueuedVotes:
        """The outputs of draws, as `votes` returns them, to be read later.

        If `computes_ahead`, the device computes them while the host goes on. Only one call runs at a time, because
        batches share their memory; calls from other threads wait.
        Raises: as `votes`.
        """
        with self._lock:
            self._follow_last()
            votes = EnqueuedVotes(draws, self._batches(draws), num_classes=self.base.num_classes)
            self._last = votes.event or self._last
            return votes

    @property
    def computes_ahead(self) -> bool:
        """Whether the host need not wait for a batch before it enqueues the next one."""
        return self.base.draws_on.type == "cuda" and isinstance(self.base, DeviceClassifier)

    def copies(self, draws: Draws) -> Tensor:
        """The noisy copies `noisy_MCHW` that the base classifier receives for these draws, on the CPU."""
        with self._lock:
            self._follow_last()
            copies_of = self._copies_of([draws])
            return torch.cat([copies_of(row, row + 1).to("cpu", copy=True) for row in range(draws.num)])

    def _follow_last(self) -> None:
        """Makes the caller's stream wait for the last batch: streams share the images and the input of a graph."""
        if self._last is not None:
            torch.cuda.current_stream(self.base.draws_on).wait_event(self._last)

    def _batches(self, draws: Sequence[Draws]) -> list[ClassifiedBatch]:
        """All draws, classified in batches."""
        reads_M = np.repeat([each.reads_logits for each in draws], [each.num for each in draws])
        if not len(reads_M):
            return []
        copies_of = self._copies_of(draws)
        batches: list[ClassifiedBatch] = []
        done = 0
        while done < len(reads_M):
            end = min(done + self._inner_batch_size, len(reads_M))
            try:
                batches.append(self._classified(copies_of, done, end, np.flatnonzero(reads_M[done:end]).tolist()))
            except OutOfMemoryError:
                if self._inner_batch_size == 1:
                    raise
            else:
                done = end
                continue
            self._halve()  # here the error no longer keeps the batch's memory
        return batches

    def _classified(self, copies_of: CopiesOf, first: int, end: int, reading: list[int]) -> ClassifiedBatch:
        """The classes of the draws from `first` up to `end`, and the logits of those at the positions `reading`."""
        num = end - first
        with _telling_memory(f"the noise of {num} draws"):
            noisy_MCHW = self._padded(copies_of(first, end))
        if isinstance(self.base, DeviceClassifier) and self._is_on_device:
            logits_BK = self.base.enqueue(noisy_MCHW)[:num]
            return ClassifiedBatch(classes_on_device(logits_BK), [logits_BK[row : row + 1] for row in reading])
        logits_RK: Sequence[Logits] | Logits = ()
        if reading:
            classes_B, logits_RK = self._scoring_base().classify_and_read(noisy_MCHW, reading)
        else:
            classes_B = self.base.classify(noisy_MCHW)
        num_classes = self.base.num_classes
        if classes_B.shape != (len(noisy_MCHW),) or classes_B.min() < 0 or classes_B.max() >= num_classes:
            raise CertificationError(
                f"the backend must return one class in [0, {num_classes}) for each of {len(noisy_MCHW)} images, "
                f"got an array of shape {classes_B.shape} that begins with {classes_B.tolist()[:5]}"
            )
        return ClassifiedBatch(classes_B[:num], logits_RK)

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

    @property
    def _is_on_device(self) -> bool:
        return self.base.draws_on.type != "cpu"

    def _copies_of(self, draws: Sequence[Draws]) -> CopiesOf:
        """The noisy copies of all draws, to be made in batches: those of a range of rows.

        Gaussian noise is drawn where the base classifier accepts batches; discrete noise is always drawn on the host.
        A row does not depend on the other rows of its batch.
        """
        noises = {each.noise for each in draws}
        if self._is_on_device and "gaussian" in noises:
            moved = self._moved(draws)
            if noises == {"gaussian"}:
                return lambda first, end: noisy_batch(moved.part(first, end))
        rows = [(each, index) for each in draws for index in range(each.start, each.start + each.num)]
        if not self._is_on_device or "gaussian" not in noises:
            return lambda first, end: self._host_noise.copies(rows[first:end]).to(self.base.draws_on)

        def copies(first: int, end: int) -> Tensor:
            parts, at = [], first
            for noise, group in groupby(rows[first:end], key=lambda row: row[0].noise):
                run = list(group)
                if noise == "gaussian":
                    parts.append(noisy_batch(moved.part(at, at + len(run))))
                else:
                    parts.append(self._host_noise.copies(run).to(self.base.draws_on))
                at += len(run)
            return torch.cat(parts)

        return copies

    def _moved(self, draws: Sequence[Draws]) -> DeviceDraws:
        """The draws on the device. If memory runs out, the images of earlier calls make room.

        Smaller batches would not help, because the images of a call are moved together.
        """
        try:
            return self._device_memory.moved(draws)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        self._device_memory.forget()  # here the error no longer keeps memory
        self._empty_cache()
        with _telling_memory(f"the images of {sum(each.num for each in draws)} draws"):
            return self._device_memory.moved(draws)

    def _halve(self) -> None:
        """Halves the batches from now on, and gives back what memory the former ones left."""
        self._inner_batch_size //= 2
        self._host_noise.forget()
        self._empty_cache()

    def _empty_cache(self) -> None:
        if self.base.draws_on.type == "cuda" and torch.cuda.is_available():
            torch.cuda.empty_cache()


@contextmanager
def _telling_memory(purpose: str) -> Iterator[None]:
    """Raises OutOfMemoryError, which names the purpose, for an error that says that memory ran out."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise OutOfMemoryError(f"there is not enough memory for {purpose}") from error
