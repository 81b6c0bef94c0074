"""`zoo leaderboard`: the group of leaderboard commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zoo.cli._help import HelpfulCommand
from zoo.cli._plain import echo

leaderboard = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None
)


@leaderboard.callback()
def group() -> None:
    """Build a page that compares certified results."""


@leaderboard.command(cls=HelpfulCommand)
def build(
    folders: Annotated[
        list[Path],
        typer.Argument(
            metavar="DIR...",
            help="Checkpoints, or folders of leaderboard documents (zoo show MODEL --leaderboard), published results, "
            "results of a study, logs and audits (zoo audit --json).",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", metavar="SITE", help="Folder of the page, index.html.")],
) -> None:
    """Check results and write a page that compares them and needs no server.

    Every document is checked against its schema, itself and its log.

    A document that contradicts them is refused, and nothing is written; exit code 1.

    Example: zoo leaderboard build model_cards leaderboard --output site
    """
    from training.study.leaderboard_rows import study_rows
    from zoo.leaderboard.collection import collect
    from zoo.leaderboard.site import write_site

    collection = collect(folders, readers=(study_rows,))
    page = write_site(collection, output)
    num_recomputed = sum(row.evidence == "log" for row in collection.rows)
    echo(f"{len(collection.rows)} rows, {num_recomputed} of them recomputed from their logs", err=True)
    echo(page)
