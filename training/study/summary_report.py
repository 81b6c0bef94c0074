"""What `zoo study summarize` prints: for a machine, and for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table

from training.study.statistics import InitializationSummary, LinearFit

SHORT = {
    "standard_accuracy": "SA",
    "robust_accuracy": "RA",
    "certified_accuracy_at_0.5": "CA@0.5",
    "average_certified_radius": "ACR",
}
INTERVALS = "slope: ordinary least squares; R^2: bootstrap over tasks; both at 95 %"


def as_json_object(summary: InitializationSummary) -> dict[str, Any]:
    """One starting point in the shape that scripts rely on; improvements in percent."""
    return {
        "initialization": summary.initialization,
        "num_tasks": len(summary.tasks),
        "mean_relative_improvement": summary.mean_relative_improvement,
        "r_squared": {name: fit.r_squared for name, fit in summary.fits.items()},
        "fits": {name: asdict(fit) for name, fit in summary.fits.items()},
        "intervals": INTERVALS,
    }


def improvements_table(summaries: Sequence[InitializationSummary]) -> Table:
    """Mean relative improvements over random weights."""
    metrics = list(summaries[0].mean_relative_improvement)
    title = "mean relative improvement over random (%)"
    table = Table("starting point", "tasks", *(SHORT[name] for name in metrics), title=title, title_justify="left")
    for summary in summaries:
        values = [f"{summary.mean_relative_improvement[name]:+.1f}" for name in metrics]
        table.add_row(summary.initialization, str(len(summary.tasks)), *values)
    return table


def fits_table(summaries: Sequence[InitializationSummary]) -> Table:
    """How far each measure of robustness follows standard accuracy."""
    title = "improvement in robustness against improvement in SA, a line through one point a task"
    columns = ("starting point", "of", "R^2", "95 % interval", "slope", "95 % interval")
    table = Table(*columns, title=title, title_justify="left", caption=INTERVALS, caption_justify="left")
    for summary in summaries:
        for name, fit in summary.fits.items():
            table.add_row(summary.initialization, SHORT[name], *_cells(fit))
    return table


def _cells(fit: LinearFit) -> tuple[str, ...]:
    return (
        f"{fit.r_squared:.2f}",
        "{:.2f} to {:.2f}".format(*fit.r_squared_interval),
        f"{fit.slope:.2f}",
        "{:.2f} to {:.2f}".format(*fit.slope_interval),
    )
