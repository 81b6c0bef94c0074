"""Counts of votes by class, in an array: a job of a thousand classes needs 8 KiB."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from zoo.smoothing.backends import Classes

Ints = npt.NDArray[np.int64]


class VoteCounts:
    """The number of votes for each class; classes without a vote need not be known."""

    def __init__(self, counts: Mapping[int, int] = MappingProxyType({})) -> None:
        """Starts from counts by class, by default from none."""
        self._counts_K: Ints = np.zeros(max(counts, default=-1) + 1, dtype=np.int64)
        for label, count in counts.items():
            self._counts_K[label] = count

    def add(self, classes_M: Classes) -> None:
        """Counts the votes."""
        counts_K = np.bincount(classes_M, minlength=len(self._counts_K))
        counts_K[: len(self._counts_K)] += self._counts_K
        self._counts_K = counts_K

    @property
    def total(self) -> int:
        return int(self._counts_K.sum())

    @property
    def top(self) -> int:
        """The most frequent class, the lowest one on ties."""
        return int(np.argmax(self._counts_K))

    def of(self, label: int) -> int:
        """The votes for one class."""
        return int(self._counts_K[label]) if label < len(self._counts_K) else 0

    def most_other(self, label: int) -> int:
        """The votes for the most frequent class other than `label`."""
        is_other_K = np.arange(len(self._counts_K)) != label
        return int(self._counts_K[is_other_K].max(initial=0))

    def running(self, label: int, classes_M: Classes) -> tuple[Ints, Ints]:
        """The votes for `label` and for the most frequent other class after each of further votes. Shapes: `(M,)`.

        The votes are not added.
        """
        counts_K = np.zeros(max(len(self._counts_K), int(classes_M.max(initial=0)) + 1), dtype=np.int64)
        counts_K[: len(self._counts_K)] = self._counts_K
        order_M = np.argsort(classes_M, kind="stable")
        sorted_M = classes_M[order_M]
        earlier_M = np.arange(len(classes_M)) - np.searchsorted(sorted_M, sorted_M)  # of the same class, in these votes
        own_M = np.empty_like(earlier_M)
        own_M[order_M] = counts_K[sorted_M] + earlier_M + 1
        is_label_M = classes_M == label
        counts_a_M = self.of(label) + np.cumsum(is_label_M)
        other_M = np.maximum.accumulate(np.where(is_label_M, 0, own_M))
        return counts_a_M, np.maximum(other_M, self.most_other(label))
