"""A certification report for people."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from zoo.results.summary import Interval, Summary


def print_summaries(summaries: Mapping[Path, Summary]) -> None:
    """Prints one table a log to stdout."""
    console = Console()
    for path, summary in summaries.items():
        table = Table(
            "", "value", "95 % interval", title=f"{escape(str(path))}: {_conditions(summary)}", title_justify="left"
        )
        table.add_row(
            "standard accuracy",
            _percent(summary.standard_accuracy),
            _percents(summary.standard_accuracy_interval),
        )
        for point in summary.certified_accuracy:
            name = f"certified accuracy at {point.radius:g}"
            table.add_row(name, _percent(point.accuracy), _percents((point.low, point.high)))
        low, high = summary.average_certified_radius_interval
        table.add_row("average certified radius", f"{summary.average_certified_radius:.3f}", f"{low:.3f} to {high:.3f}")
        table.add_row("abstention", _percent(summary.abstention_rate), _percents(summary.abstention_rate_interval))
        console.print(table)


def _conditions(summary: Summary) -> str:
    known = {"sigma": summary.sigma, "n0": summary.n0, "n": summary.n, "alpha": summary.alpha}
    said = [
        f"{name} {value:g}" if name != "n" else f"n {value:,}" for name, value in known.items() if value is not None
    ]
    return ", ".join([f"{summary.num_images} images", *(said or ["sigma, n and alpha not in the log"])])


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _percents(interval: Interval) -> str:
    return f"{100 * interval[0]:.1f} to {100 * interval[1]:.1f} %"
