"""The output of `zoo compare`, as tables or JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from training.evaluation.report import name_of
from zoo.cli._console import PlainConsole
from zoo.cli._shares import percent, percents
from zoo.results.log import ABSTAIN
from zoo.results.two_logs import ChangedImage, LogComparison, MeanDifference, ShareDifference

ABOUT = (
    "difference: B - A on the same images, in percentage points, with its bootstrap interval over images. p: two-sided "
    "exact test of McNemar, adjusted by Holm's method for the lines of this table."
)


def print_comparison(
    comparison: LogComparison,
    logs: Mapping[str, Path],
    conditions: Mapping[str, str],
    names: Sequence[str],
    *,
    num_listed: int,
    as_json: bool,
) -> None:
    """Prints the comparison to stdout.

    Args:
        comparison: The comparison.
        logs: The files of "A" and "B".
        conditions: sigma, n and alpha of "A" and "B", in words.
        names: The names of the classes; () if no file states them.
        num_listed: Number of changed images to list.
        as_json: Whether to print JSON, with all changed images.
    """
    console = PlainConsole()
    if as_json:
        files = {f"file_{side.lower()}": str(path) for side, path in logs.items()}
        console.out(json.dumps({**files, **asdict(comparison)}, indent=2), highlight=False)
        return

    def line(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    for side, path in logs.items():
        line(f"{side}: {path}: {conditions[side]}")
    for note in comparison.notes:
        line(f"not equal: {note}")
    console.print(_table_of_shares(comparison))
    if comparison.average_certified_radius is not None:
        line(_radius_in_words(comparison.average_certified_radius))
    line(ABOUT)
    if comparison.changed:
        console.print(_table_of_changed(comparison.changed[:num_listed], names, num=len(comparison.changed)))
    else:
        line("no image changed its prediction or crossed one of the radii")


def _table_of_shares(comparison: LogComparison) -> Table:
    table = Table(
        "", "A", "95 % interval", "B", "95 % interval", "difference", "95 % interval", "only A", "only B", "p"
    )
    for share in comparison.shares:
        table.add_row(*_cells(share))
    return table


def _cells(share: ShareDifference) -> tuple[str, ...]:
    low, high = (100 * end for end in share.difference_interval)
    return (
        share.name,
        percent(share.a),
        percents(share.a_interval),
        percent(share.b),
        percents(share.b_interval),
        f"{100 * share.difference:+.1f}",
        f"{low:+.1f} to {high:+.1f}",
        str(share.only_a),
        str(share.only_b),
        f"{share.adjusted_p_value:.2g}",
    )


def _radius_in_words(means: MeanDifference) -> str:
    interval = means.difference_interval
    words = "" if interval is None else f" ({interval[0]:+.3f} to {interval[1]:+.3f})"
    return f"average certified radius: A {means.a:.3f}, B {means.b:.3f}, difference {means.difference:+.3f}{words}"


def _table_of_changed(changed: Sequence[ChangedImage], names: Sequence[str], *, num: int) -> Table:
    title = f"{num} images changed their prediction or crossed one of the radii"
    if len(changed) < num:
        title += f"; the {len(changed)} with the largest change (--json lists all)"
    table = Table("image", "class", "A", "radius", "B", "radius", title=title, title_justify="left")
    for image in changed:
        a, b = (_answer(predict, names) for predict in (image.a_predict, image.b_predict))
        radii = [f"{radius:.3f}" for radius in (image.a_radius, image.b_radius)]
        table.add_row(str(image.idx), escape(name_of(image.label, names)), a, radii[0], b, radii[1])
    return table


def _answer(predict: int, names: Sequence[str]) -> str:
    return "abstains" if predict == ABSTAIN else escape(name_of(predict, names))
