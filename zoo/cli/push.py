"""`zoo push`."""

from __future__ import annotations

from typing import Annotated

import typer

from zoo.cli._commit import print_commit
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
    print_commit("pushed", commit.repository, commit.sha, commit.url, as_json=as_json)
