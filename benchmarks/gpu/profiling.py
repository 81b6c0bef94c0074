"""Section `profile`: a profile of one engine step."""

from __future__ import annotations

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from benchmarks.gpu.findings import Findings
from benchmarks.gpu.networks import backend_of, build, draws_of, picture
from benchmarks.gpu.settings import Settings
from benchmarks.gpu.timing import seconds
from zoo.smoothing import NoisySampler, SamplingOptions

CALLS = {
    "kernel launches": ("LaunchKernel",),
    "copies": ("cudaMemcpy",),
    "waits for the device": ("Synchronize",),
    "allocations": ("cudaMalloc", "cudaHostAlloc"),
}
"""Parts of the names of CUDA runtime calls, by kind of call."""
NUM_ROWS = 12
STEPS = 4


def profile_step(settings: Settings, findings: Findings) -> None:
    """Records launches, copies and waits per step of the sampler in bfloat16, and the slowest operators on the device.

    The whole table is written to profile.txt.
    """
    batch_size = settings.batch_sizes[-1]
    sampler = NoisySampler(backend_of(build(settings), settings, "bfloat16"), SamplingOptions(batch_size=batch_size))
    draws = draws_of(picture(0, settings), STEPS * batch_size)
    sampler.votes([draws])  # warms up
    unprofiled = seconds(lambda: sampler.votes([draws]), settings)
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if settings.is_cuda else [])]
    with profile(activities=activities) as seen:
        sampler.votes([draws])
        if settings.is_cuda:
            torch.cuda.synchronize()
    key = "self_device_time_total" if settings.is_cuda else "self_cpu_time_total"
    events = seen.key_averages()
    (settings.output / "profile.txt").write_text(events.table(sort_by=key, row_limit=100))
    # On a GPU, the profiler lists an operator's kernels, which take its time, as separate events.
    computing = [event for event in events if event.device_type == DeviceType.CUDA] if settings.is_cuda else events
    busy = sum(getattr(event, key) for event in computing) / 1e6
    findings["draws per step"] = batch_size
    findings["milliseconds per step, not profiled"] = round(1e3 * unprofiled / STEPS, 3)
    findings["milliseconds per step that the device computes"] = round(1e3 * busy / STEPS, 3)
    findings["calls per step"] = {
        name: sum(event.count for event in events if any(word in event.key for word in words)) / STEPS
        for name, words in CALLS.items()
    }
    longest = sorted(computing, key=lambda event: -getattr(event, key))[:NUM_ROWS]
    findings["kernels" if settings.is_cuda else "operators"] = {
        event.key[:80]: {
            "milliseconds per step": round(getattr(event, key) / 1e3 / STEPS, 4),
            "calls per step": event.count / STEPS,
        }
        for event in longest
    }
