"""Votes of enqueued batches, which the host reads later than it enqueues them where a GPU computes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from zoo.errors import CertificationError
from zoo.smoothing.backends import Classes, Logits
from zoo.smoothing.backends.base import NOT_FINITE
from zoo.smoothing.noise import Draws

Outputs = npt.NDArray[Any]
"""The classes `classes_M` of noisy copies; their logits `logits_MK` if the draws read logits."""


@dataclass(frozen=True, slots=True)
class ClassifiedBatch:
    """The classes of a batch, and the logits of those draws that read them, on the host or still on the device.

    On the device, there is a tensor `logits_1K` for each of these draws.
    """

    classes_B: Classes | Tensor
    logits_RK: Sequence[Logits | Tensor] | Logits


class EnqueuedVotes:
    """The outputs of draws, which a device may not have computed yet.

    One copy to the host is enqueued behind the batches. What is enqueued later does not delay it.
    """

    def __init__(self, draws: Sequence[Draws], batches: Sequence[ClassifiedBatch], *, num_classes: int) -> None:
        """`batches` are those of all draws, in order; they are all on the host or all on the device."""
        self._draws = draws
        self._num_classes = num_classes
        self._rows: Any = [logits_K for batch in batches for logits_K in batch.logits_RK]
        on_device = [batch.classes_B for batch in batches if isinstance(batch.classes_B, Tensor)]
        self._copy: _HostCopy | None = None
        self._classes_M = np.empty(0, dtype=np.int64)
        if on_device:
            bits = [torch.cat(on_device).to(torch.int32)]
            bits += [torch.cat(self._rows).view(torch.int32).flatten()] if self._rows else []
            self._copy = _HostCopy(torch.cat(bits))
        elif batches:
            self._classes_M = np.concatenate([batch.classes_B for batch in batches])

    @property
    def event(self) -> torch.cuda.Event | None:
        """The event of CUDA after which the outputs are on the host; None if they are there already."""
        return None if self._copy is None else self._copy.event

    def wait(self) -> None:
        """Waits until the outputs, and those of all draws that were enqueued before, are on the host."""
        if self._copy is not None:
            self._copy.wait()

    def read(self) -> list[Outputs]:
        """The outputs, one array per element of the draws; waits for them.

        Raises: CertificationError if a logit is not finite.
        """
        classes_M, rows = self._on_host()
        if len(classes_M) and classes_M.min() == NOT_FINITE:
            raise CertificationError("the base classifier returned a logit that is not finite")
        logits_RK = iter(rows)
        ends = np.cumsum([each.num for each in self._draws]).tolist()
        return [
            np.stack(list(islice(logits_RK, each.num))) if each.reads_logits else classes_M[end - each.num : end]
            for each, end in zip(self._draws, ends, strict=True)
        ]

    def _on_host(self) -> tuple[Classes, Any]:
        """The classes, and the logits of the draws that read them."""
        if self._copy is None:
            return self._classes_M, self._rows
        read = self._copy.read()
        num_read = len(read) - len(self._rows) * self._num_classes
        logits_RK = read[num_read:].view(np.float32).reshape(len(self._rows), self._num_classes)
        return read[:num_read].astype(np.int64), logits_RK


class _HostCopy:
    """A copy of int32 values to the host, for which the host does not wait before it reads them."""

    def __init__(self, values: Tensor) -> None:
        # On CUDA, torch copies into pinned memory, and nothing says that the copy is complete but an event.
        self._values = values.to("cpu", non_blocking=values.is_cuda)
        self.event = torch.cuda.current_stream(values.device).record_event() if values.is_cuda else None

    def wait(self) -> None:
        if self.event is not None:
            self.event.synchronize()

    def read(self) -> npt.NDArray[np.int32]:
        self.wait()
        values: npt.NDArray[np.int32] = self._values.numpy()
        return values
