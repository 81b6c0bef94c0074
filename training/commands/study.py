"""`zoo study`: a group of commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from zoo.cli._options import Json

study = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@study.callback()
def group() -> None:
    """Plan, run and collect a transfer study, or summarize a table of finished runs."""


@study.command()
def summarize(
    table: Annotated[
        Path,
        typer.Argument(metavar="TABLE.csv", help="task, initialization, standard_accuracy and measures of robustness."),
    ],
    as_json: Json = False,
) -> None:
    """Mean relative improvements over random, and R^2 of improvements in robustness against those in accuracy."""
    from rich.console import Console

    from training.study.long_table import read_table
    from training.study.statistics import summarize_table
    from training.study.summary_report import as_json_object, fits_table, improvements_table

    summaries = summarize_table(read_table(table))
    if as_json:
        typer.echo(json.dumps([as_json_object(summary) for summary in summaries], indent=2))
        return
    console = Console()
    console.print(improvements_table(summaries))
    console.print(fits_table(summaries))
