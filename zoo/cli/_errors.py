"""The one place where an exception becomes a message and an exit code."""

import sys
import traceback

from zoo.errors import ZooError


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
