"""Waiting for a state in tests."""

import time

PATIENCE = 300.0
"""Seconds. It costs time only where a test fails: other tests keep the cores busy, and a server starts in a minute."""


def wait_for(condition, what="the state", *, seen=None):
    """Polls until the condition holds; `seen` returns what to print if it does not within PATIENCE seconds."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            words = "" if seen is None else f": {seen()}"
            raise AssertionError(f"{what} did not come about in {PATIENCE:.0f} s{words}")
        time.sleep(0.02)
