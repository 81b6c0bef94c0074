"""Progress bars of the commands, on stderr."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn

T = TypeVar("T")


@contextmanager
def progress_bar(
    console: Console, activity: str, *, total: int, completed: int = 0, unit: str = "images", shown: str = "{}"
) -> Iterator[Callable[..., None]]:
    """A bar with the total and the time that is left; calling the yielded function advances it by one.

    Python warnings of libraries do not break the bar: they follow its end. Rows that a command prints meanwhile appear
    above the bar.

    Args:
        console: Output of the bar.
        activity: What the command does, such as "certifying".
        total: Number of steps, those before this start included.
        completed: Number of steps that were done before.
        unit: What a step is, in the plural.
        shown: Format of the value with which the yielded function is called, such as "loss {:.3f}".
    """
    columns: list[ProgressColumn] = [TextColumn(activity), BarColumn(), MofNCompleteColumn(), TextColumn(unit)]
    columns += [TextColumn("{task.fields[value]}"), TimeRemainingColumn()]
    # Only a terminal's stdout is passed on to this console: it is that of stderr, and a pipe must get the data.
    progress = Progress(*columns, console=console, redirect_stdout=sys.stdout.isatty())
    with warnings.catch_warnings(record=True) as held, progress:
        bar = progress.add_task(activity, total=total, completed=completed, value="")
        yield lambda *value: progress.update(bar, advance=1, value=shown.format(*value) if value else "")
    for warning in held:
        warnings.warn_explicit(
            warning.message, warning.category, warning.filename, warning.lineno, source=warning.source
        )


def tracked(items: Iterable[T], console: Console, activity: str, *, total: int, unit: str = "images") -> Iterator[T]:
    """The items, with a progress bar that advances by one per item."""
    with progress_bar(console, activity, total=total, unit=unit) as advance:
        for item in items:
            yield item
            advance()
