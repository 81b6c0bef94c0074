"""The commands' retries, with progress on stderr."""

from zoo.cli._plain import echo
from zoo.download.retry import Retrier


def retrier() -> Retrier:
    """The retrier of the commands; it reports each wait on stderr."""
    return Retrier(report=lambda line: echo(line, err=True))
