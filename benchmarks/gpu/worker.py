"""The process in which sections run: one after another as they are sent, until one breaks the device."""

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
    """Answers every section that comes with `(is_last, outcome)`: first with what was found so far, as often as there
    is news; ends when the other end is closed, or when the device answers no more."""
    os.setpgrp()  # so that whatever a section starts can be ended with it
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
    """The outcome of one section, whatever it raises."""
    findings = Findings(lambda outcome: connection.send((False, outcome)))
    try:
        module, _, function = section.function.partition(":")
        getattr(importlib.import_module(module), function)(settings, findings)
    except Exception as error:
        findings.keep("", error)
    return findings.outcome()


def _clean_up(settings: Settings) -> bool:
    """Frees the device's memory; False if the device is of no use to this process any more.

    After an illegal access in a kernel every later call of the process fails.
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
