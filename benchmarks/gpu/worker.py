"""The process in which sections run one after another, until a section makes the device unusable."""

from __future__ import annotations

import gc
import importlib
import os
import sys
import traceback
from multiprocessing.connection import Connection
from typing import Any

from benchmarks.gpu.findings import Findings
from benchmarks.gpu.settings import Settings
from benchmarks.gpu.table import Section


def work(connection: Connection, settings: Settings) -> None:
    """Runs the sections that arrive and sends `(is_last, outcome)` pairs, several per section.

    Returns when the other end of the connection is closed, or when the device is no longer usable.
    """
    os.setpgrp()  # the supervisor ends the whole group, including processes that a section starts
    while True:
        try:
            section = connection.recv()
        except EOFError:
            return
        outcome = run_section(section, settings, connection)
        is_usable = _clean_up(settings)
        connection.send((True, outcome))
        if not is_usable:
            return


def run_section(section: Section, settings: Settings, connection: Connection) -> dict[str, Any]:
    """Runs one section and returns its outcome, even if the section raises an exception."""
    findings = Findings(lambda outcome: connection.send((False, outcome)))
    try:
        module, _, function = section.function.partition(":")
        getattr(importlib.import_module(module), function)(settings, findings)
    except Exception as error:
        findings.keep("", error)
    return findings.outcome()


def _clean_up(settings: Settings) -> bool:
    """Frees the device's memory; returns False if this process can no longer use the device.

    After an illegal access in a kernel, every later CUDA call of the process fails.
    """
    torch: Any = sys.modules.get("torch")
    if torch is None or not settings.is_cuda:
        return True
    if "torch._dynamo" in sys.modules:
        torch._dynamo.reset()
    gc.collect()
    try:
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    except RuntimeError:
        traceback.print_exc()
        return False
    return True
