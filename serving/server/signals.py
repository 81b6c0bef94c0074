"""Handling of termination signals, so that a server always stops completely."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from types import FrameType

# Ctrl-C, `kill`, a closed terminal, Ctrl-\. By default each of them ends Python immediately or raises during clean-up,
# and TorchServe, which runs in its own session, would keep running.
TERMINATION_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)

Handler = Callable[[int, FrameType | None], object] | signal.Handlers


@contextmanager
def interrupting_signals() -> Iterator[Callable[[], None]]:
    """Makes termination signals raise KeyboardInterrupt in the block. Calling the yielded function ignores them.

    A signal that was already ignored when the process started, as under nohup, stays ignored.
    """

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    heeded = _heeded()

    def ignore() -> None:
        for number in heeded:
            signal.signal(number, signal.SIG_IGN)

    with _handling(heeded, interrupt):
        yield ignore


@contextmanager
def ignoring_signals() -> Iterator[None]:
    """Ignores termination signals in the block. Only the main thread can do this; others change nothing."""
    with _handling(TERMINATION_SIGNALS, signal.SIG_IGN):
        yield


@contextmanager
def deferring_signals() -> Iterator[None]:
    """Defers a termination signal that arrives in the block to the block's end, in the main thread only.

    Use it to start a process: an exception before the process id is stored would leave the process running.
    """
    arrived: list[int] = []
    with _handling(_heeded(), lambda number, frame: arrived.append(number)):
        yield
    if arrived:
        signal.raise_signal(arrived[0])


def _heeded() -> list[signal.Signals]:
    return [number for number in TERMINATION_SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]


@contextmanager
def _handling(numbers: Collection[signal.Signals], handler: Handler) -> Iterator[None]:
    """Handles the signals with `handler` in the block, and restores the former handlers afterwards."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)
