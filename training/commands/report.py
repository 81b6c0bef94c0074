"""`zoo report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from training.commands.options import parse_numbers
from zoo.cli._options import Json


def report(
    logs: Annotated[
        list[Path], typer.Argument(metavar="FILE.tsv...", help="Certification logs of zoo certify, or published ones.")
    ],
    radii: Annotated[
        str | None,
        typer.Option(
            "--radii",
            metavar="R,R,...",
            help="Radii of the certified accuracy; default: round ones that each log's sigma and draws can reach.",
        ),
    ] = None,
    figure: Annotated[
        Path | None,
        typer.Option("--figure", metavar="FILE.png", help="Draw the curves, p_A and, of a single log, each class."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Report the numbers of certification logs, with intervals.

    These are the smoothed classifier's accuracy, certified accuracy, average certified radius and abstention. In a
    pipe, each number is one line, with tabs.

    Example: zoo report rows.tsv --radii 0,0.25 --figure curve.png
    """
    from training.evaluation.report import print_report
    from zoo.results.log import read_log

    numbers = None if radii is None else parse_numbers(radii, "--radii")
    rows = {path: read_log(path) for path in logs}
    print_report(rows, radii=numbers, as_json=as_json)
    if figure is not None:
        from training.evaluation.report import class_names_of
        from zoo.results.figure import draw_curves

        names = class_names_of(logs[0])
        draw_curves({str(path): rows[path] for path in logs}, figure, class_names=names)
