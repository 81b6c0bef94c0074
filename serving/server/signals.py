"""Signals that ask a process to end, and how a server is stopped by them without being left half stopped."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from types import FrameType

# Ctrl-C, `kill`, a closed terminal, Ctrl-\. By default each ends Python at once or raises in the midst of a clean-up,
# and TorchServe, which has a session of its own, would live on.
TERMINATION_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)

Handler = Callable[[int, FrameType | None], object] | signal.Handlers


@contextmanager
def interrupting_signals() -> Iterator[Callable[[], None]]:
    """Termination signals raise KeyboardInterrupt inside, until the function that is yielded has them ignored.

    A signal that the process was started to ignore, as by nohup, stays ignored.
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
    """Termination signals do nothing inside, if this is the main thread, which alone can arrange that."""
    with _handling(TERMINATION_SIGNALS, signal.SIG_IGN):
        yield


@contextmanager
def deferring_signals() -> Iterator[None]:
    """A termination signal that arrives inside takes effect at the end, if this is the main thread.

    For the start of a process: an exception before its id is noted would leave it running.
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
    """Signals are handled that way inside, and as before after."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)
