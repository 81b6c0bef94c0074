"""Whether a server, or one version of a model, that takes no new requests has answered those it took."""

from __future__ import annotations

import time
from collections.abc import Callable

LOOK_SECONDS = 0.1
FLUSHED_SECONDS = 0.4  # TorchServe has sent by then what a worker gave it


def wait_until_idle(num_open: Callable[[], float], *, seconds: float) -> bool:
    """Waits until no request is open; False if one still is after `seconds`."""
    started = last_open = time.monotonic()
    while True:
        time.sleep(LOOK_SECONDS)
        now = time.monotonic()
        if num_open() > 0:
            last_open = now
        if now - last_open >= FLUSHED_SECONDS:
            return True
        if now - started >= seconds:
            return False
