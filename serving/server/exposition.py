"""The workers' metrics as their parent reads them: of all workers together, those that died included."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterable
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

IN_MEMORY = Path("/dev/shm")
OPEN_REQUESTS = "zoo_open_requests"
LIVE_GAUGE = re.compile(r"gauge_live\w+_(\d+)\.db")


def make_metrics_folder() -> Path:
    """A new folder for the workers' files.

    It lies in memory where the system offers that: a file that is mapped and finds its disk full kills who writes.
    """
    place = IN_MEMORY if os.access(IN_MEMORY, os.W_OK) else None
    return Path(tempfile.mkdtemp(prefix="zoo-metrics-", dir=place))


def exposed(folder: Path) -> bytes:
    """All metrics in Prometheus' text format."""
    return generate_latest(_registry(folder))


def total(folder: Path, sample: str, **labels: str) -> float:
    """The sum over all label values that are not given of a counter or gauge, named as in the text format."""
    metrics: Iterable[Metric] = _registry(folder).collect()
    samples = [each for metric in metrics for each in metric.samples if each.name == sample]
    return sum(each.value for each in samples if labels.items() <= each.labels.items())


def _registry(folder: Path) -> CollectorRegistry:
    for file in folder.glob("gauge_live*.db"):
        found = LIVE_GAUGE.fullmatch(file.name)
        if found and not Path(f"/proc/{found[1]}").exists():
            mark_process_dead(int(found[1]), str(folder))  # type: ignore[no-untyped-call]
    registry = CollectorRegistry()
    MultiProcessCollector(registry, str(folder))  # type: ignore[no-untyped-call]
    return registry
