"""Progress on stderr while a command waits for the network."""

import typer

from zoo.download.retry import Retrier


def retrier() -> Retrier:
    """The retrier of the commands, which reports on stderr what it waits for."""
    return Retrier(report=lambda line: typer.echo(line, err=True))
