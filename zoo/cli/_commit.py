"""How a commit of the Hub is printed."""

import json

import typer


def print_commit(done: str, repository: str, sha: str, url: str, *, as_json: bool) -> None:
    """Prints what was done, and the commit; as JSON for machines."""
    typer.echo(
        json.dumps({"repository": repository, "commit": sha, "url": url}, indent=2)
        if as_json
        else f"{done} {repository}@{sha}"
    )
