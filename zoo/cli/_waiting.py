"""What the user is told while a command waits for the network."""

import typer

from zoo.download.retry import Patience


def patience() -> Patience:
    """The usual patience, which says on stderr what it waits for."""
    return Patience(tell=lambda said: typer.echo(said, err=True))
