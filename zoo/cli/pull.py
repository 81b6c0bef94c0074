"""`zoo pull`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zoo.cli._commit import print_commit
from zoo.cli._options import Json


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
    print_commit(f"{directory}:", commit.repository, commit.sha, commit.url, as_json=as_json)
