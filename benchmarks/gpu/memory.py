"""Section `memory`: the sampler halves a batch that does not fit into memory, and continues."""

from __future__ import annotations

import torch

from benchmarks.gpu.findings import Findings
from benchmarks.gpu.networks import backend_of, build, draws_of, picture
from benchmarks.gpu.require import require
from benchmarks.gpu.settings import Settings
from zoo.smoothing import NoisySampler, SamplingOptions

SHARE_OF_NEEDED = 0.5


def check(settings: Settings, findings: Findings) -> None:
    """Caps this process's memory at half of a batch's need, and requires the sampler to halve the batch."""
    batch_size = 64 if settings.is_tiny else 1024
    base, x_CHW = backend_of(build(settings), settings), picture(0, settings)
    at_rest = torch.cuda.memory_allocated(settings.device)
    NoisySampler(base, SamplingOptions(batch_size=batch_size)).votes([draws_of(x_CHW, batch_size)])
    needed = torch.cuda.max_memory_allocated(settings.device) - at_rest
    findings["GiB at rest"], findings["GiB for a batch"] = at_rest / 2**30, needed / 2**30
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(settings.device).total_memory
    cap = torch.cuda.memory_reserved(settings.device) + SHARE_OF_NEEDED * needed
    torch.cuda.set_per_process_memory_fraction(cap / total, settings.device)
    try:
        sampler = NoisySampler(base, SamplingOptions(batch_size=batch_size))
        (classes,) = sampler.votes([draws_of(x_CHW, 2 * batch_size)])
        findings["backend afterwards"] = sampler.backend
        require(len(classes) == 2 * batch_size, f"{len(classes)} votes")
        require("memory ran out" in sampler.backend, f"memory did not run out: {sampler.backend}")
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, settings.device)
