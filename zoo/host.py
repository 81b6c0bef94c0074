"""Temporary changes of the host program's process-wide settings, for the duration of a library call."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, ContextDecorator
from functools import partial
from threading import Lock


class LoanedSetting(ContextDecorator):
    """A change of a process-wide setting that lasts while any thread is inside; the last thread to leave undoes it.

    Without the count of threads, overlapping threads would undo each other's changes, and the last thread would restore
    a changed state.
    """

    def __init__(self, change: Callable[[], AbstractContextManager[object]]) -> None:
        """`change` returns a context manager that makes the change and undoes it."""
        self._change = change
        self._lock = Lock()
        self._num_inside = 0
        self._changed: AbstractContextManager[object] | None = None

    def __enter__(self) -> None:
        with self._lock:
            if self._changed is None:
                changed = self._change()
                changed.__enter__()
                self._changed = changed
            self._num_inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._num_inside -= 1
            if self._num_inside == 0 and self._changed is not None:
                changed, self._changed = self._changed, None
                changed.__exit__(None, None, None)


WARNINGS_IGNORED = LoanedSetting(partial(warnings.catch_warnings, action="ignore"))
"""For libraries that warn about inputs that this package rejects, or about their own internals."""
