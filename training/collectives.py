"""Collective operations on the tensors of a training step; with a single process each is the identity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def num_ranks() -> int:
    """The number of processes that train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def sum_over_ranks(x: Tensor) -> Tensor:
    """The elementwise sum of every rank's tensor. Collective."""
    if num_ranks() == 1:
        return x
    total = x.clone()
    dist.all_reduce(total)
    return total


def mean_over_ranks(tensors: Sequence[Tensor]) -> list[Tensor]:
    """The elementwise mean of every rank's tensors. Collective."""
    return [sum_over_ranks(tensor) / num_ranks() for tensor in tensors]


def broadcast_from_first(tensors: Sequence[Tensor]) -> None:
    """Overwrites each tensor with the first rank's tensor. Collective."""
    if num_ranks() > 1:
        for tensor in tensors:
            dist.broadcast(tensor, src=0)


def gather_rows(own_VD: Tensor) -> tuple[Tensor, int]:
    """The rows of all ranks in rank order, and the index of this rank's first row. Collective.

    Gradients flow back to every rank's rows. Ranks may have different numbers of rows.
    """
    if num_ranks() == 1:
        return own_VD, 0
    sizes = [torch.zeros(1, dtype=torch.int64, device=own_VD.device) for _ in range(num_ranks())]
    dist.all_gather(sizes, torch.tensor([len(own_VD)], device=own_VD.device))
    counts = [int(size) for size in sizes]
    all_WD: Tensor = _GatheredRows.apply(own_VD, counts)
    return all_WD, sum(counts[: dist.get_rank()])


class _GatheredRows(torch.autograd.Function):
    """Gathers rows; the backward pass sums the gradients of all ranks' losses with respect to this rank's rows."""

    @staticmethod
    def forward(ctx: Any, own_VD: Tensor, counts: list[int]) -> Tensor:
        ctx.counts = counts
        padded = own_VD.new_zeros(max(counts), *own_VD.shape[1:])
        padded[: len(own_VD)] = own_VD
        parts = [torch.empty_like(padded) for _ in counts]
        dist.all_gather(parts, padded)
        return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        total_WD = sum_over_ranks(gradients[0].contiguous())
        start = sum(ctx.counts[: dist.get_rank()])
        return total_WD[start : start + ctx.counts[dist.get_rank()]], None
