"""The one place where an exception becomes a message and an exit code."""

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from zoo.errors import InterruptionError, ZooError


def exit_code_of(error: Exception, *, debug: bool) -> int:
    """Prints what the user needs to know of `error` to stderr; returns the exit code."""
    if debug:
        traceback.print_exception(error)
    if isinstance(error, ZooError):
        message, code = str(error), error.exit_code
    else:
        message, code = (
            f"a defect, please report it: {type(error).__name__}: {error} (--debug shows where)",
            1,
        )
    print(f"zoo: {message}", file=sys.stderr)  # noqa: T201
    return code


@contextmanager
def interruptible(*, hint: str) -> Iterator[None]:
    """Ctrl-C inside ends the command with a sentence that says what was kept and how to go on."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise InterruptionError(f"interrupted: {hint}") from error
