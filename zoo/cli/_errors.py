"""Translation of exceptions into messages and exit codes; no other module does this."""

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from zoo.cli._plain import plain
from zoo.errors import InterruptionError, ZooError


def exit_code_of(error: Exception, *, debug: bool) -> int:
    """The exit code for `error`, after its message, or a traceback if `debug`, is printed to stderr.

    A message may quote names from untrusted files and servers.
    """
    if debug:
        print(plain("".join(traceback.format_exception(error))), end="", file=sys.stderr)  # noqa: T201
    if isinstance(error, ZooError):
        message, code = str(error), error.exit_code
    else:
        message, code = (
            f"a defect, please report it: {type(error).__name__}: {error} (--debug shows where)",
            1,
        )
    print(f"zoo: {plain(message)}", file=sys.stderr)  # noqa: T201
    return code


@contextmanager
def interruptible(*, hint: str) -> Iterator[None]:
    """Turns Ctrl-C during the block into an InterruptionError; `hint` says what was kept and how to resume."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise InterruptionError(f"interrupted: {hint}") from error
