"""Temporary changes of the host program's process-wide settings, for the duration of a library call."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, ContextDecorator
from functools import partial
from threading import Lock


class LoanedSetting(ContextDecorator):
    """A change of a process-wide setting that lasts while any thread is inside; the last thread to leave undoes it.

    Without the count of threads, overlapping threads would undo each other's changes. The last thread would then
    restore a changed state.
    """

    def __init__(self, change: Callable[[], AbstractContextManager[object]]) -> None:
        """`change` returns a context manager that makes the change and undoes it."""
        self._change = change
        self._lock = Lock()
        self._num_inside = 0
        self._active_change: AbstractContextManager[object] | None = None

    def __enter__(self) -> None:
        with self._lock:
            if self._active_change is None:
                change = self._change()
                change.__enter__()
                self._active_change = change
            self._num_inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._num_inside -= 1
            if self._num_inside == 0 and self._active_change is not None:
                change, self._active_change = self._active_change, None
                change.__exit__(None, None, None)


WARNINGS_IGNORED = LoanedSetting(partial(warnings.catch_warnings, action="ignore"))
"""Ignores warnings, for libraries that warn about inputs that this package rejects or about their own internals."""
