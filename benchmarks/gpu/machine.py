"""Section `machine`: the hardware and versions, and the speed of memory, matrix units and bus."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from benchmarks.gpu.findings import Findings
from benchmarks.gpu.settings import Settings
from benchmarks.gpu.timing import matrix_peaks, milliseconds
from benchmarks.machine import processor

PACKAGES = ("triton", "numpy", "torchvision", "onnxruntime-gpu", "onnxruntime", "pydantic", "accelerate")
SWITCHES = {
    "cuDNN allows TF32": lambda: torch.backends.cudnn.allow_tf32,
    "matrix products allow TF32": lambda: torch.backends.cuda.matmul.allow_tf32,
    "cuDNN tries its algorithms": lambda: torch.backends.cudnn.benchmark,
}


def describe(settings: Settings, findings: Findings) -> None:
    """Records names, versions, torch's current switches, and the peak rates for comparison with other sections."""
    findings["name"] = torch.cuda.get_device_name(settings.device) if settings.is_cuda else processor()
    findings["processor"], findings["cores"] = processor(), len(os.sched_getaffinity(0))
    findings["versions"] = {"python": platform.python_version(), "torch": torch.__version__, **versions()}
    findings["switches"] = {name: read() for name, read in SWITCHES.items()}
    with findings.part("GPU"):
        if settings.is_cuda:
            findings["GPU"] = gpu(settings)
    with findings.part("copy"):
        findings["copy within the device, GB/s, read and written"] = copy_rate(settings) / 1e9
    with findings.part("matrix peaks"):
        peaks = matrix_peaks(settings)
        findings["matrix product, TFLOP/s"] = {name: round(rate / 1e12, 2) for name, rate in peaks.items()}
    if settings.is_cuda:
        with findings.part("transfers"):
            findings["transfer, GB/s"] = transfer_rates(settings)


def versions() -> dict[str, str | None]:
    """The versions of PACKAGES; None for a package that is not installed."""
    installed: dict[str, str | None] = {}
    for name in PACKAGES:
        try:
            installed[name] = version(name)
        except PackageNotFoundError:
            installed[name] = None
    return installed


def gpu(settings: Settings) -> dict[str, Any]:
    properties = torch.cuda.get_device_properties(settings.device)
    facts: dict[str, Any] = {
        "compute capability": f"{properties.major}.{properties.minor}",
        "memory, GiB": round(properties.total_memory / 2**30, 1),
        "multiprocessors": properties.multi_processor_count,
        "CUDA": torch.version.cuda,
        "cuDNN": torch.backends.cudnn.version(),
    }
    if shutil.which("nvidia-smi"):
        query = ["nvidia-smi", "--query-gpu=driver_version,clocks.sm,clocks.mem,power.limit", "--format=csv,noheader"]
        output = subprocess.run(query, capture_output=True, text=True, timeout=20, check=False).stdout
        facts["driver, clocks, power limit"] = output.strip()
    return facts


def copy_rate(settings: Settings) -> float:
    """Bytes read plus bytes written per second, for a copy many times larger than any cache."""
    num_values = 2**16 if settings.is_tiny else 2**30
    source = torch.randn(num_values, device=settings.device)
    target = torch.empty_like(source)
    return 2 * source.nbytes / (milliseconds(lambda: target.copy_(source), settings) / 1e3)


def transfer_rates(settings: Settings) -> dict[str, float]:
    """GB per second between host and device, for pageable and for pinned memory."""
    num_values = 2**16 if settings.is_tiny else 2**25
    on_device, pageable = torch.randn(num_values, device=settings.device), torch.randn(num_values)
    kinds = {"pageable": pageable, "pinned": pageable.pin_memory()}
    rates = {}
    for name, on_host in kinds.items():
        directions = {"to the device": (on_device, on_host), "to the host": (on_host, on_device)}
        for direction, (target, source) in directions.items():
            duration_ms = milliseconds(lambda target=target, source=source: target.copy_(source), settings)
            rates[f"{name}, {direction}"] = round(source.nbytes / duration_ms / 1e6, 2)
    return rates
