"""`zoo show`."""

from __future__ import annotations

from typing import Annotated

import typer

from zoo.cli._options import Json, Model, Offline


def show(
    model: Model,
    leaderboard: Annotated[
        bool, typer.Option("--leaderboard", help="Print the model's entry for leaderboards, as JSON.")
    ] = False,
    offline: Offline = False,
    as_json: Json = False,
) -> None:
    """Print a checkpoint's card, or with --json its config; of one on the Hub no weights are fetched."""
    from zoo.cli._plain import plain
    from zoo.cli._retries import retrier
    from zoo.loading.locate import describe, locate

    if leaderboard:  # an entry names the weights by their hash, so they are looked at too
        from zoo.cards.leaderboard import leaderboard_entry
        from zoo.cards.leaderboard_schema import write_entry

        checkpoint = locate(model, offline=offline, retrier=retrier())
        typer.echo(write_entry(leaderboard_entry(checkpoint.spec, files=checkpoint.files, source=str(checkpoint.path))))
        return
    found = describe(model, offline=offline, retrier=retrier())
    typer.echo(found.checked, err=True)
    typer.echo(plain(found.config if as_json else found.card).rstrip())
