"""The output of a certification report, as tables or JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from zoo.cli._console import PlainConsole
from zoo.results.log import CertificationRow
from zoo.results.summary import Interval, Summary, summarize

ABOUT_ACR = (
    "The average certified radius alone can mislead: it has no upper limit as p_A approaches 1, so a few easy images "
    "can dominate it (Sun et al. 2025, arXiv 2410.06895). Compare the distribution of p_A of the true class as well."
)


def print_report(
    logs: Mapping[Path, Sequence[CertificationRow]], *, radii: Sequence[float], as_json: bool = False
) -> None:
    """Prints the numbers of each log to stdout.

    Raises: LogError if a log has no row, or mixes rows of the at-radius rule with rows of other rules.
    """
    summaries = {path: summarize(rows, radii=radii) for path, rows in logs.items()}
    console = PlainConsole()
    if as_json:
        listed = [as_json_object(path, summary) for path, summary in summaries.items()]
        console.out(json.dumps(listed, indent=2), highlight=False)
    else:
        for path, summary in summaries.items():
            console.print(table_of(path, summary))
        if any(summary.average_certified_radius is not None for summary in summaries.values()):
            console.print(ABOUT_ACR, highlight=False, soft_wrap=True)


def as_json_object(path: Path, summary: Summary) -> dict[str, object]:
    """The numbers of one log as JSON with a stable format."""
    return {"file": str(path), **plain(summary)}


def plain(summary: Summary) -> dict[str, object]:
    """The numbers as JSON values."""
    distribution = summary.p_a_of_label
    return {
        **asdict(summary),
        "certified_accuracy": [point.model_dump() for point in summary.certified_accuracy],
        "p_a_of_label": None if distribution is None else distribution.model_dump(mode="json"),
    }


def table_of(path: Path, summary: Summary) -> Table:
    """The numbers of one log as a table; numbers that its rows do not determine are left out."""
    bound = "" if summary.bound is None else f", bound {summary.bound}"
    title = f"{escape(str(path))}: {escape(summary.conditions + bound)}"
    table = Table("", "value", "95 % interval", title=title, title_justify="left", caption_justify="left")
    if summary.standard_accuracy is not None and summary.standard_accuracy_interval is not None:
        accuracy = _percent(summary.standard_accuracy)
        table.add_row("standard accuracy", accuracy, _percents(summary.standard_accuracy_interval))
    for point in summary.certified_accuracy:
        name = f"certified accuracy at {point.at}"
        table.add_row(name, _percent(point.accuracy), _percents((point.low, point.high)))
    if summary.average_certified_radius is not None:
        interval = summary.average_certified_radius_interval
        words = "unknown" if interval is None else f"{interval[0]:.3f} to {interval[1]:.3f}"
        table.add_row("average certified radius", f"{summary.average_certified_radius:.3f}", words)
    table.add_row("abstention", _percent(summary.abstention_rate), _percents(summary.abstention_rate_interval))
    for name, value, interval_or_band in _rows_of_label(summary):
        table.add_row(name, value, interval_or_band)
    if summary.p_a is not None:
        first, *_, last = deciles = summary.p_a.lower.deciles
        middle = deciles[len(deciles) // 2]
        name = "p_A of selected class, lower bound"
        table.add_row(name, f"median {middle:.4f}", f"80 % of images: {first:.4f} to {last:.4f}")
    if summary.image_spacing is not None:
        table.caption = f"the images are evenly spaced, {summary.image_spacing} apart: not a random sample"
    return table


def _rows_of_label(summary: Summary) -> Iterator[tuple[str, str, str]]:
    distribution = summary.p_a_of_label
    if distribution is None:
        yield "p_A of true class", "not known", str(summary.p_a_of_label_missing)
        return
    for point in distribution.points:
        name = f"p_A of true class <= {point.p_a:g}"
        yield name, _percent(point.share), f"{_percents((point.low, point.high))} (band)"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _percents(interval: Interval) -> str:
    return f"{100 * interval[0]:.1f} to {100 * interval[1]:.1f} %"
