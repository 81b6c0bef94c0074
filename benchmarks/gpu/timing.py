"""Timing on a device, and the arithmetic in which it computes."""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from benchmarks.gpu.settings import Settings

NUM_WARM_UPS = 3


def milliseconds(run: Callable[[], object], settings: Settings) -> float:
    """The median time of a run after warm-ups, in milliseconds; by CUDA events on a GPU, by the clock on a CPU."""
    for _ in range(0 if settings.is_tiny else NUM_WARM_UPS):
        run()
    synchronize(settings)
    return statistics.median((_by_events if settings.is_cuda else _by_clock)(run) for _ in range(settings.num_repeats))


def seconds(run: Callable[[], object], settings: Settings) -> float:
    """The wall time of one run in seconds, including its asynchronous work on the device."""
    synchronize(settings)
    started = time.perf_counter()
    run()
    synchronize(settings)
    return time.perf_counter() - started


def synchronize(settings: Settings) -> None:
    if settings.is_cuda:
        torch.cuda.synchronize(settings.device)


@contextmanager
def tf32(is_allowed: bool) -> Iterator[None]:
    """Allows or forbids TF32 in float32 convolutions and matrix products inside the block.

    Uses torch's older switches, which all versions from 2.9 on have; torch forbids mixing them with the newer ones.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch announces their removal
        before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
        _allow_tf32(is_allowed, is_allowed)
    try:
        yield
    finally:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            _allow_tf32(*before)


def _allow_tf32(convolutions: bool, products: bool) -> None:
    torch.backends.cudnn.allow_tf32 = convolutions
    torch.backends.cuda.matmul.allow_tf32 = products


def matrix_peak(dtype: torch.dtype, settings: Settings) -> float:
    """Floating-point operations per second of a product of two large random square matrices."""
    size = 64 if settings.is_tiny else 8192
    a, b = (torch.randn(size, size, device=settings.device).to(dtype) for _ in range(2))
    return 2 * size**3 / (milliseconds(lambda: a @ b, settings) / 1e3)


def matrix_peaks(settings: Settings) -> dict[str, float]:
    """Floating-point operations per second of a matrix product, by arithmetic: `float32`, `TF32`, `bfloat16`."""
    with tf32(False):
        peaks = {"float32": matrix_peak(torch.float32, settings)}
    with tf32(True):
        return peaks | {
            "TF32": matrix_peak(torch.float32, settings),
            "bfloat16": matrix_peak(torch.bfloat16, settings),
        }


def _by_events(run: Callable[[], object]) -> float:
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    run()
    end.record()
    end.synchronize()
    return start.elapsed_time(end)


def _by_clock(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return 1e3 * (time.perf_counter() - started)
