"""The commands' retries, with progress on stderr."""

import typer

from zoo.download.retry import Retrier


def retrier() -> Retrier:
    """The retrier of the commands; it reports each wait on stderr."""
    return Retrier(report=lambda line: typer.echo(line, err=True))
