"""Figures 2 and 3: improvement in robustness by pre-training against improvement in standard accuracy."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Mapping

import numpy as np
from matplotlib import figure as matplotlib_figure
from matplotlib.axes import Axes

from training.study.evidence import Evidence
from training.study.long_table import RANDOM, STANDARD_ACCURACY, Kind, LongTable
from training.study.report import Figure
from training.study.statistics import LinearFit, Values, band, fit_line, relative_improvements

FIGURES: tuple[tuple[str, Kind], ...] = (("figure2", "empirical"), ("figure3", "certified"))
CAPTIONS = {
    "figure2": "Figure 2. Adversarial fine-tuning: improvement in robust accuracy against improvement in standard "
    "accuracy, over random weights.",
    "figure3": "Figure 3. Consistency fine-tuning: improvement in certified accuracy at 0.5 and in average certified "
    "radius against improvement in standard accuracy, over random weights.",
}
READING = "Each point is one task: its mean over seeds. The line is a least-squares fit with its 95 % confidence band."
NAMES = {
    "standard_accuracy": "standard accuracy",
    "robust_accuracy": "robust accuracy",
    "certified_accuracy_at_0.5": "certified accuracy at radius 0.5",
    "average_certified_radius": "average certified radius",
}
PANEL_WIDTH, HEIGHT = 6.2, 5.4
MARKERS = "osD^vPX"
NUM_PLACES = 100
LETTERS_PER_LINE = 110


def papers_figures(evidence: Evidence) -> list[Figure]:
    """Figures 2 and 3, as far as the finished runs give any of their points."""
    return [
        Figure(stem, f"{CAPTIONS[stem]} {READING}", png)
        for stem, kind in FIGURES
        if (png := draw_improvements(evidence.table(kind))) is not None
    ]


def draw_improvements(table: LongTable) -> bytes | None:
    """The figure as a PNG, or None if no starting point shares a task with `random`.

    It has one panel per measure of robustness, and one numbered point per task and starting point. A panel shows the
    fitted lines, their 95 % bands, and R^2 with its interval.
    """
    drawn = [name for name in table.initializations if table.tasks_of(name)]
    if not drawn:
        return None
    metrics = table.metrics[1:]
    tasks = dict.fromkeys(task for name in drawn for task in table.tasks_of(name))
    numbers = {task: number for number, task in enumerate(tasks, start=1)}
    figure = matplotlib_figure.Figure(figsize=(PANEL_WIDTH * len(metrics), HEIGHT), layout="constrained")
    panels = np.atleast_1d(figure.subplots(1, len(metrics)))
    for axes, metric in zip(panels, metrics, strict=True):
        for place, initialization in enumerate(drawn):
            _draw(axes, table, initialization, metric, place=place, numbers=numbers)
        _dress(axes, metric)
    listed = textwrap.fill(
        "   ".join(f"{number} {task}".replace(" ", "\u00a0") for task, number in numbers.items()), LETTERS_PER_LINE
    )
    figure.supxlabel(listed, fontsize="small")
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=130)
    return file.getvalue()


def _draw(
    axes: Axes, table: LongTable, initialization: str, metric: str, *, place: int, numbers: Mapping[str, int]
) -> None:
    x = relative_improvements(table, initialization, STANDARD_ACCURACY)
    y = relative_improvements(table, initialization, metric)
    fit, color = fit_line(x, y), f"C{place}"
    axes.scatter(
        x,
        y,
        color=color,
        marker=MARKERS[place % len(MARKERS)],
        s=110,
        alpha=0.8,
        edgecolors="white",
        linewidths=0.7,
        zorder=3,
        label=_label(initialization, fit),
    )
    for task, at_x, at_y in zip(table.tasks_of(initialization), x, y, strict=True):
        axes.text(at_x, at_y, str(numbers[task]), ha="center", va="center", fontsize=7, color="white", zorder=4)
    if fit is not None:
        _draw_line(axes, x, y, color)


def _draw_line(axes: Axes, x: Values, y: Values, color: str) -> None:
    at = np.linspace(x.min(), x.max(), NUM_PLACES)
    middle, low, high = band(x, y, at)
    axes.plot(at, middle, color=color, linewidth=1.4)
    axes.fill_between(at, low, high, color=color, alpha=0.12, linewidth=0)


def _label(initialization: str, fit: LinearFit | None) -> str:
    if fit is None:
        return initialization
    low, high = fit.r_squared_interval
    return f"{initialization}: $R^2$ {fit.r_squared:.2f} ({low:.2f} to {high:.2f}), slope {fit.slope:.2f}"


def _dress(axes: Axes, metric: str) -> None:
    axes.axhline(0, color="0.6", linewidth=0.8, zorder=1)
    axes.axvline(0, color="0.6", linewidth=0.8, zorder=1)
    axes.margins(0.16)
    axes.set_xlabel(f"improvement in {NAMES[STANDARD_ACCURACY]} over {RANDOM} (%)")
    axes.set_ylabel(f"improvement in {NAMES[metric]} over {RANDOM} (%)")
    axes.grid(alpha=0.25)
    axes.legend(loc="best", fontsize="small", title="starting point", title_fontsize="small")
