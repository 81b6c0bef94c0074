"""Timing on a device."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch

from benchmarks.gpu.settings import Settings
from zoo.smoothing.backends import arithmetic

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


def matrix_peak(dtype: torch.dtype, settings: Settings) -> float:
    """Floating-point operations per second of a product of two large random square matrices."""
    size = 64 if settings.is_tiny else 8192
    a, b = (torch.randn(size, size, device=settings.device).to(dtype) for _ in range(2))
    return 2 * size**3 / (milliseconds(lambda: a @ b, settings) / 1e3)


def matrix_peaks(settings: Settings) -> dict[str, float]:
    """Floating-point operations per second of a matrix product, by precision: `float32`, `tf32`, `bfloat16`."""
    peaks = {}
    for precision in ("float32", "tf32"):
        with arithmetic(precision, settings.device.type):
            peaks[precision] = matrix_peak(torch.float32, settings)
    return peaks | {"bfloat16": matrix_peak(torch.bfloat16, settings)}


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
