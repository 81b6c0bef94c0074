"""A worker's Prometheus metrics.

The worker keeps its metrics in memory-mapped files, which its parent reads (prometheus_client's multiprocess mode).
TorchServe's own metrics use the same histogram buckets for everything and lose the values of a worker that died.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from serving.service.observer import Answered

LABELS = ("model", "version")
SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
STEP_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2)
DRAWS = (100.0, 300.0, 1e3, 3e3, 1e4, 3e4, 1e5, 3e5, 1e6)
RADII = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0)  # the bucket le="0" counts the abstentions
INDICES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 1024.0, 16384.0)
SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
NO_RULE = "none"  # the label value of predictions, which have no stopping rule

ABANDONED_SECONDS = 2.0


class PrometheusObserver:
    """A ServiceObserver that updates the metrics of one version of a model."""

    def __init__(self, *, model: str, version: str) -> None:
        """Create only one observer per process: several would write to the same files."""
        registry = CollectorRegistry()
        values = (model, version)

        def counter(name: str, help: str, *more: str) -> Counter:
            return Counter(name, help, (*LABELS, *more), registry=registry)

        def histogram(name: str, help: str, buckets: Sequence[float], *more: str) -> Histogram:
            return Histogram(name, help, (*LABELS, *more), registry=registry, buckets=buckets)

        def gauge(name: str, help: str) -> Gauge:
            return Gauge(name, help, LABELS, registry=registry, multiprocess_mode="livesum").labels(*values)

        self.registry = registry
        self._values = values
        self._draws = counter("zoo_draws_total", "Noisy copies classified.").labels(*values)
        self._step_seconds = histogram("zoo_step_seconds", "Duration of an engine step.", STEP_SECONDS).labels(*values)
        self._fill = histogram("zoo_batch_fill", "Draws of a step, of those it had room for.", SHARES).labels(*values)
        self._admitted = counter("zoo_requests_admitted_total", "Requests that were opened.", "mode", "stopping")
        self._answered = counter("zoo_requests_answered_total", "Requests answered with 200.", "mode", "stopping")
        self._refused = counter("zoo_requests_refused_total", "Requests answered with an error.", "error", "status")
        self._forgotten = counter("zoo_requests_forgotten_total", "Requests whose client went away.").labels(*values)
        self._wasted = counter("zoo_draws_forgotten_total", "Draws for clients that went away.").labels(*values)
        self._cut = counter("zoo_deadlines_reached_total", "Answers given at a deadline.").labels(*values)
        self._images = counter("zoo_images_answered_total", "Images answered.", "mode").labels
        self._abstained = counter("zoo_images_abstained_total", "Images answered by an abstention.", "mode").labels
        self._seconds = histogram("zoo_request_seconds", "From admission to the answer.", SECONDS, "mode").labels
        self._request_draws = histogram("zoo_request_draws", "Draws of an answered request.", DRAWS, "mode").labels
        self._radii = histogram("zoo_certified_radius", "l2 radius of a certification.", RADII).labels(*values)
        self._indices = histogram(
            "zoo_family_index", "Index of an answered question among the questions about its image.", INDICES
        ).labels(*values)
        self._open = gauge("zoo_open_requests", "Requests being drawn for.")
        self._called_at: float | None = None
        self._lock = threading.Lock()

    def began(self) -> None:
        """Records that TorchServe has passed the open requests to the worker."""
        with self._lock:
            self._called_at = None

    def ended(self, *, num_open: int) -> None:
        """Records that the worker has returned to TorchServe, which will pass the `num_open` open requests again."""
        with self._lock:
            self._called_at = time.monotonic()
            self._open.set(num_open)

    def watch_for_abandonment(self) -> None:
        """Starts a thread that sets the number of open requests to 0 when TorchServe does not pass them again.

        TorchServe does so within milliseconds, unless the last client disconnected, which it does not report.
        """
        threading.Thread(target=self._watch, name="abandonment", daemon=True).start()

    def _watch(self) -> None:
        while True:
            time.sleep(ABANDONED_SECONDS / 2)
            with self._lock:
                if self._called_at is not None and time.monotonic() - self._called_at > ABANDONED_SECONDS:
                    self._open.set(0)

    def stepped(self, *, num_draws: int, capacity: int, num_open: int, seconds: float) -> None:
        self._draws.inc(num_draws)
        self._fill.observe(num_draws / capacity)
        self._step_seconds.observe(seconds)

    def admitted(self, *, mode: str, stopping: str | None, num_images: int) -> None:
        self._admitted.labels(*self._values, mode, stopping or NO_RULE).inc()

    def answered(self, answered: Answered) -> None:
        self._answered.labels(*self._values, answered.mode, answered.stopping or NO_RULE).inc()
        self._images(*self._values, answered.mode).inc(answered.num_images)
        self._abstained(*self._values, answered.mode).inc(answered.num_abstained)
        self._request_draws(*self._values, answered.mode).observe(answered.num_draws)
        self._seconds(*self._values, answered.mode).observe(answered.seconds)
        for radius in answered.radii:
            self._radii.observe(radius)
        for index in answered.family_indices:
            self._indices.observe(index)
        if answered.deadline_reached:
            self._cut.inc()

    def refused(self, *, error: str, status: int) -> None:
        self._refused.labels(*self._values, error, str(status)).inc()

    def forgotten(self, *, num_draws: int) -> None:
        self._forgotten.inc()
        self._wasted.inc(num_draws)
