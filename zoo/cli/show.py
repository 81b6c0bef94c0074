"""`zoo show`."""

from __future__ import annotations

from typing import Annotated

import typer

from zoo.cli._options import Json, Model


def show(
    model: Model,
    leaderboard: Annotated[
        bool, typer.Option("--leaderboard", help="Print the model's entry for leaderboards, as JSON.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Print a checkpoint's card, or with --json its config."""
    from zoo.checkpoint import CARD, CONFIG
    from zoo.locate import locate

    checkpoint = locate(model)
    if leaderboard:
        from zoo.leaderboard import write_entry
        from zoo.leaderboard_entry import entry_of

        typer.echo(write_entry(entry_of(checkpoint)))
        return
    typer.echo((checkpoint.path / (CONFIG if as_json else CARD)).read_text().rstrip())
