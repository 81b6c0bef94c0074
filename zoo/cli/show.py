"""`zoo show`."""

from __future__ import annotations

from typing import Annotated

import typer

from zoo.cli._options import Json, Model, Offline
from zoo.cli._plain import echo


def show(
    model: Model,
    leaderboard: Annotated[
        bool, typer.Option("--leaderboard", help="Print the model's entry for leaderboards, as JSON.")
    ] = False,
    offline: Offline = False,
    as_json: Json = False,
) -> None:
    """Print a checkpoint's card, or with --json its config.

    No weights are downloaded from the Hub.

    Example: zoo show owner/name
    """
    from zoo.cli._retries import retrier
    from zoo.loading.locate import describe, locate

    if leaderboard:  # an entry contains the hash of the weights, so they are needed
        from zoo.cards.leaderboard import leaderboard_entry
        from zoo.cards.leaderboard_schema import write_entry

        checkpoint = locate(model, offline=offline, retrier=retrier())
        echo(write_entry(leaderboard_entry(checkpoint.spec, files=checkpoint.files, source=str(checkpoint.path))))
        return
    description = describe(model, offline=offline, retrier=retrier())
    echo(description.checked, err=True)
    echo((description.config if as_json else description.card).rstrip())
