"""How long something takes on a device, and in which arithmetic it is done."""

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
    """The median over repeats, each between two events on a GPU, by the clock on a CPU; warm-ups do not count."""
    for _ in range(0 if settings.is_tiny else NUM_WARM_UPS):
        run()
    synchronize(settings)
    return statistics.median((_by_events if settings.is_cuda else _by_clock)(run) for _ in range(settings.num_repeats))


def seconds(run: Callable[[], object], settings: Settings) -> float:
    """Wall time of one run, with all that it left to the device."""
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
    """Whether float32 convolutions and matrix products may round to TF32 inside; afterwards it is as it was.

    By torch's older switches, which all versions from 2.9 on have; the newer ones may not be mixed with them.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # they are said to go away
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
    """Floating-point operations per second of a product of two large square matrices of random numbers."""
    size = 64 if settings.is_tiny else 8192
    a, b = (torch.randn(size, size, device=settings.device).to(dtype) for _ in range(2))
    return 2 * size**3 / (milliseconds(lambda: a @ b, settings) / 1e3)


def matrix_peaks(settings: Settings) -> dict[str, float]:
    """Operations per second by arithmetic: `float32`, `TF32` and `bfloat16`."""
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
