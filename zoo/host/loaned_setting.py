"""Temporary changes of the host program's process-wide settings, for the duration of a library call."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ContextDecorator, contextmanager
from functools import partial
from threading import Lock
from typing import Generic, TypeVar

Value = TypeVar("Value")


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


class LoanedChoice(Generic[Value]):
    """A process-wide setting that is changed to one of several values; the last thread to leave undoes the change.

    Threads that hold the same value share the change. A thread that asks for another value waits until they have left.
    An inner block of a thread replaces its outer block, whose value returns afterwards. A thread therefore never waits
    while it holds a value, and threads cannot block each other forever unless one waits for another inside a block.
    """

    def __init__(self, change: Callable[[Value], AbstractContextManager[object]]) -> None:
        """`change` returns a context manager that changes the setting to a value and undoes the change."""
        self._change = change
        self._is_free = threading.Condition()
        self._loan: tuple[Value, AbstractContextManager[object]] | None = None
        self._num_inside = 0
        self._of_thread = threading.local()

    @contextmanager
    def holding(self, value: Value) -> Iterator[None]:
        """Changes the setting to `value` for the duration of the block."""
        outer: list[Value] = getattr(self._of_thread, "held", [])
        if outer == [value]:
            yield
            return
        if outer:
            self._leave()
        try:
            self._enter(value)
            self._of_thread.held = [value]
            try:
                yield
            finally:
                self._leave()
        finally:
            self._of_thread.held = outer
            if outer:
                self._enter(*outer)

    def _enter(self, value: Value) -> None:
        with self._is_free:
            self._is_free.wait_for(lambda: self._loan is None or self._loan[0] == value)
            if self._loan is None:
                change = self._change(value)
                change.__enter__()
                self._loan = value, change
            self._num_inside += 1

    def _leave(self) -> None:
        with self._is_free:
            self._num_inside -= 1
            if self._num_inside == 0 and self._loan is not None:
                (_, change), self._loan = self._loan, None
                change.__exit__(None, None, None)
                self._is_free.notify_all()


WARNINGS_IGNORED = LoanedSetting(partial(warnings.catch_warnings, action="ignore"))
"""Ignores warnings, for libraries that warn about inputs that this package rejects or about their own internals."""
