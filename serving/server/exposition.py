"""The metrics of all workers, including dead ones, as read by the parent process."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

IN_MEMORY = Path("/dev/shm")
OPEN_REQUESTS = "zoo_open_requests"
LIVE_GAUGE = re.compile(r"gauge_live\w+_(\d+)\.db")


def make_metrics_folder() -> Path:
    """A new folder for the workers' metrics files, in memory if the system offers /dev/shm.

    A process that writes to a memory-mapped file on a full disk is killed.
    """
    place = IN_MEMORY if os.access(IN_MEMORY, os.W_OK) else None
    return Path(tempfile.mkdtemp(prefix="zoo-metrics-", dir=place))


def exposed(folder: Path, *, num_deaths: Mapping[tuple[str, str], int]) -> bytes:
    """All metrics in Prometheus' text format; `num_deaths` counts the dead workers by model and version."""
    registry = _registry(folder)
    registry.register(_Deaths(num_deaths))
    return generate_latest(registry)


class _Deaths(Collector):
    """Counted by the parent process, because a worker cannot count its own death."""

    def __init__(self, num_deaths: Mapping[tuple[str, str], int]) -> None:
        self.num_deaths = num_deaths

    def collect(self) -> Iterator[Metric]:
        family = CounterMetricFamily(
            "zoo_worker_deaths", "Loaded workers that ended or were killed.", labels=("model", "version")
        )
        for labels, number in self.num_deaths.items():
            family.add_metric(labels, number)
        yield family


def total(folder: Path, sample: str, **labels: str) -> float:
    """The sum of a counter or gauge over all series with the given labels; `sample` is its name in the text format."""
    metrics: Iterable[Metric] = _registry(folder).collect()
    series = [entry for metric in metrics for entry in metric.samples if entry.name == sample]
    return sum(entry.value for entry in series if labels.items() <= entry.labels.items())


def _registry(folder: Path) -> CollectorRegistry:
    for file in folder.glob("gauge_live*.db"):
        match = LIVE_GAUGE.fullmatch(file.name)
        if match and not Path(f"/proc/{match[1]}").exists():
            mark_process_dead(int(match[1]), str(folder))  # type: ignore[no-untyped-call]
    registry = CollectorRegistry()
    MultiProcessCollector(registry, str(folder))  # type: ignore[no-untyped-call]
    return registry
