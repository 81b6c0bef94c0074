"""`zoo push`."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from zoo.cli._options import Json, Model
from zoo.cli._plain import echo


def push(
    model: Model,
    repository: Annotated[
        str, typer.Argument(metavar="OWNER/NAME", help="The Hub repository; created if it does not exist.")
    ],
    private: Annotated[
        bool | None,
        typer.Option("--private/--public", help="Visibility of a new repository; that of an existing one must match."),
    ] = None,
    create_pr: Annotated[
        bool,
        typer.Option("--create-pr", help="Propose the commit as a pull request; works for others' repositories too."),
    ] = False,
    tag: Annotated[
        list[str] | None,
        typer.Option("--tag", metavar="NAME", help="A new tag for the commit, such as v1.0; may be repeated."),
    ] = None,
    message: Annotated[str | None, typer.Option("--message", help="The commit's title.")] = None,
    as_json: Json = False,
) -> None:
    """Publish a checkpoint on the Hugging Face Hub, as one commit.

    Example: zoo push my-model you/my-model --private
    """
    from zoo import hub
    from zoo.cli._retries import retrier
    from zoo.loading.locate import locate

    retries = retrier()
    pushed = hub.push(
        locate(model, retrier=retries),
        repository,
        private=private,
        create_pr=create_pr,
        tags=tag or (),
        message=message,
        retrier=retries,
    )
    if as_json:
        facts = {"repository": pushed.repository, "commit": pushed.sha, "url": pushed.url, "changed": pushed.changed}
        echo(json.dumps({**facts, "tags": list(pushed.tags), "pull_request": pushed.pull_request}, indent=2))
        return
    outcome = "proposed" if pushed.pull_request else "pushed" if pushed.changed else "unchanged, nothing to push:"
    tagged = f", tagged {', '.join(pushed.tags)}" if pushed.tags else ""
    echo(f"{outcome} {pushed.repository}@{pushed.sha}{tagged}")
    if pushed.pull_request:
        echo(pushed.pull_request)
