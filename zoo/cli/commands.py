"""`zoo push | pull | show`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from zoo.cli._options import Json, Model


def push(
    model: Model,
    repository: Annotated[
        str, typer.Argument(metavar="OWNER/NAME", help="The Hub repository; made if it does not exist.")
    ],
    private: Annotated[bool, typer.Option("--private", help="Make a new repository private.")] = False,
    message: Annotated[str | None, typer.Option("--message", help="The commit's title.")] = None,
    as_json: Json = False,
) -> None:
    """Publish a checkpoint on the Hugging Face Hub, as one commit."""
    from zoo import hub
    from zoo.locate import locate

    commit = hub.push(locate(model), repository, private=private, message=message)
    _print_commit("pushed", commit.repository, commit.sha, commit.url, as_json=as_json)


def pull(
    model: Annotated[str, typer.Argument(metavar="OWNER/NAME[@REVISION]", help="A Hub id.")],
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A new directory for the checkpoint.")],
    as_json: Json = False,
) -> None:
    """Download a checkpoint, pinned to one commit and checked against its manifest."""
    from zoo import hub
    from zoo.locate import parse_hub_id

    repository, revision = parse_hub_id(model)
    _, commit = hub.pull(repository, directory, revision=revision)
    _print_commit(f"{directory}:", commit.repository, commit.sha, commit.url, as_json=as_json)


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


def _print_commit(done: str, repository: str, sha: str, url: str, *, as_json: bool) -> None:
    typer.echo(
        json.dumps({"repository": repository, "commit": sha, "url": url}, indent=2)
        if as_json
        else f"{done} {repository}@{sha}"
    )
