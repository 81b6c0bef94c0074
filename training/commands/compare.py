"""`zoo compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from training.commands.options import parse_numbers
from zoo.cli._options import Json


def compare(
    first: Annotated[Path, typer.Argument(metavar="A.tsv", help="A certification log.")],
    second: Annotated[Path, typer.Argument(metavar="B.tsv", help="Another log of the same images.")],
    radii: Annotated[
        str | None,
        typer.Option(
            "--radii", metavar="R,R,...", help="Radii of the certified accuracy; default: those of both logs."
        ),
    ] = None,
    figure: Annotated[Path | None, typer.Option("--figure", metavar="FILE.png", help="Draw both curves.")] = None,
    list_images: Annotated[
        int, typer.Option("--list", min=0, metavar="K", help="Number of changed images to list; --json lists all.")
    ] = 10,
    as_json: Json = False,
) -> None:
    """Compare two certification logs of the same images.

    Certified accuracy of both, their difference on the same images with an exact test, and the images that changed. A
    difference of sigma, n, alpha or rule is stated; logs of other images, tasks or inputs are refused.

    Example: zoo compare rows.tsv own.tsv --figure both.png
    """
    from training.evaluation.comparison_report import print_comparison
    from training.evaluation.log_context import context_differences, context_of
    from training.evaluation.report import class_names_of
    from zoo.errors import LogError
    from zoo.results.log import read_log
    from zoo.results.summary import summarize
    from zoo.results.two_logs import compare_logs
    from zoo.results.usual_radii import usual_radii

    paths = {"A": first, "B": second}
    rows = {side: read_log(path) for side, path in paths.items()}
    shown = parse_numbers(radii, "--radii") if radii else sorted({r for log in rows.values() for r in usual_radii(log)})
    try:
        notes = context_differences(*map(context_of, paths.values()))
        comparison = compare_logs(rows["A"], rows["B"], radii=shown, notes=notes)
    except LogError as error:
        raise LogError(f"{first} and {second} cannot be compared: {error}") from error
    print_comparison(
        comparison,
        paths,
        {side: summarize(log, radii=[]).conditions for side, log in rows.items()},
        class_names_of(first) or class_names_of(second),
        num_listed=list_images,
        as_json=as_json,
    )
    if figure is not None:
        from zoo.results.figure import draw_curves

        draw_curves({f"{side}: {paths[side]}": log for side, log in rows.items()}, figure)
