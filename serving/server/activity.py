"""Whether a server that is being drained has answered everything it took."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from serving.server.exposition import total

LOOK_SECONDS = 0.1
FLUSHED_SECONDS = 0.4  # TorchServe has sent by then what a worker gave it
ABANDONED_SECONDS = 2.0  # TorchServe calls a worker again within milliseconds while a client waits


@dataclass(frozen=True, slots=True)
class Activity:
    """What the workers do at one moment; `num_calls` is how often they were handed requests since their start."""

    num_open: int
    num_busy: int
    num_calls: int


def activity(metrics: Path, **labels: str) -> Activity:
    """What the workers with these labels do, by the folder of their metrics."""
    names = ("zoo_open_requests", "zoo_worker_busy", "zoo_worker_calls_total")
    return Activity(*(int(total(metrics, name, **labels)) for name in names))


def wait_until_idle(look: Callable[[], Activity], *, seconds: float) -> bool:
    """Waits until no request is open; False if one still is after `seconds`.

    A worker is not told when the last of its clients goes away: it then has open requests, and is called no more.
    """
    started = last_open = last_call = time.monotonic()
    before = look()
    while True:
        time.sleep(LOOK_SECONDS)
        now, activity = time.monotonic(), look()
        if activity.num_open:
            last_open = now
        if activity.num_busy or activity.num_calls != before.num_calls:
            last_call = now
        if now - last_open >= FLUSHED_SECONDS or now - last_call >= ABANDONED_SECONDS:
            return True
        if now - started >= seconds:
            return False
        before = activity
