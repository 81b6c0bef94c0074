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
    "Intervals are at 95 % over images. B - A: difference on the same images, in percentage points. only A, B: images "
    "that one log alone certifies. p: two-sided exact test of McNemar, adjusted by Holm's method for all lines."
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
        line(_changed_in_words(len(comparison.changed), num_listed))
        console.print(_table_of_changed(comparison.changed[:num_listed], names))
    else:
        line("no image changed its prediction or crossed one of the radii")


def _table_of_shares(comparison: LogComparison) -> Table:
    table = Table("certified at", "A (%)", "B (%)", "B - A", "only A, B", "p")
    for share in comparison.shares:
        table.add_row(share.name if share.radius is None else f"{share.radius:g}", *_cells(share))
    return table


def _cells(share: ShareDifference) -> tuple[str, ...]:
    low, high = (100 * end for end in share.difference_interval)
    return (
        _with_interval(share.a, share.a_interval),
        _with_interval(share.b, share.b_interval),
        f"{100 * share.difference:+.1f} ({low:+.1f} to {high:+.1f})",
        f"{share.only_a}, {share.only_b}",
        f"{share.adjusted_p_value:.2g}",
    )


def _with_interval(share: float, interval: tuple[float, float]) -> str:
    return f"{percent(share)} ({percents(interval)})".replace(" %", "")


def _radius_in_words(means: MeanDifference) -> str:
    interval = means.difference_interval
    words = "" if interval is None else f" ({interval[0]:+.3f} to {interval[1]:+.3f})"
    return f"average certified radius: A {means.a:.3f}, B {means.b:.3f}, difference {means.difference:+.3f}{words}"


def _changed_in_words(num: int, num_listed: int) -> str:
    words = f"{num} images changed their prediction or crossed one of the radii"
    return words if num_listed >= num else f"{words}; the {num_listed} with the largest change (--json lists all)"


def _table_of_changed(changed: Sequence[ChangedImage], names: Sequence[str]) -> Table:
    table = Table("image", "class", "A", "radius", "B", "radius")
    for image in changed:
        a, b = (_answer(predict, names) for predict in (image.a_predict, image.b_predict))
        radii = [f"{radius:.3f}" for radius in (image.a_radius, image.b_radius)]
        table.add_row(str(image.idx), escape(name_of(image.label, names)), a, radii[0], b, radii[1])
    return table


def _answer(predict: int, names: Sequence[str]) -> str:
    return "abstains" if predict == ABSTAIN else escape(name_of(predict, names))
