"""The figure of the pictures study: a row per network, a dot per seed."""

from __future__ import annotations

import io
from collections.abc import Mapping

from matplotlib import figure as matplotlib_figure
from matplotlib.axes import Axes

from training.study.evidence import Cell, Evidence, Key
from training.study.pictures.measures import starting_points
from training.study.pictures.readings import (
    MEAN_CERTIFIED,
    MEAN_ROBUST,
    base_classifier,
    certified_radius,
    smoothed_classifier,
)
from training.study.report import Figure

PANEL_WIDTH, ROW_HEIGHT, MARGIN = 6.4, 0.3, 1.1
CAPTION = (
    "Mean per class of every measured network, one dot per seed. The bar is the mean over seeds. The dashed line is a "
    "classifier that always answers one class."
)


def pictures_figures(evidence: Evidence) -> list[Figure]:
    """Certified and robust accuracy of all networks; none if no run has either."""
    radius = next(certified_radius(result) for _, result in evidence.finished)
    panels = {
        f"certified accuracy at radius {radius:g}": _cells(evidence.networks(smoothed_classifier), MEAN_CERTIFIED),
        "robust accuracy under the attack": _cells(evidence.networks(base_classifier), MEAN_ROBUST),
    }
    panels = {title: cells for title, cells in panels.items() if cells}
    if not panels:
        return []
    pretrained = starting_points(evidence)
    chance = {run.target: 100 / result.num_classes for run, result in evidence.finished}
    height = MARGIN + ROW_HEIGHT * max(map(len, panels.values()))
    drawn = matplotlib_figure.Figure(figsize=(PANEL_WIDTH * len(panels), height), layout="constrained")
    for axes, (title, cells) in zip(drawn.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        _draw(axes, cells, chance)
        axes.set_yticks(range(len(cells)), [_label(key, key in pretrained) for key in cells])
        axes.set_xlabel(f"mean per class: {title} (%)")
    file = io.BytesIO()
    drawn.savefig(file, format="png", dpi=130)
    return [Figure("networks", CAPTION, file.getvalue())]


def _cells(networks: Mapping[Key, Mapping[str, Cell]], metric: str) -> dict[Key, Cell]:
    """The cells of the metric, grouped by target."""
    cells = {key: by_metric[metric] for key, by_metric in networks.items() if metric in by_metric}
    return dict(sorted(cells.items(), key=lambda item: item[0][0]))


def _label(key: Key, is_pretrained: bool) -> str:
    target, method, start = key
    return f"{target}: {method}, the start {start}" if is_pretrained else f"{target}: {method} from {start}"


def _draw(axes: Axes, cells: Mapping[Key, Cell], chance: Mapping[str, float]) -> None:
    targets = sorted(chance)
    for place, ((target, _, _), cell) in enumerate(cells.items()):
        color = f"C{targets.index(target)}"
        axes.barh(place, cell.mean, height=0.6, color=color, alpha=0.25)
        axes.scatter(cell.values, [place] * len(cell.values), s=16, color=color, zorder=3)
        axes.plot([chance[target]] * 2, [place - 0.5, place + 0.5], color="0.4", linestyle="--", linewidth=0.9)
    axes.tick_params(axis="y", labelsize=7)
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.grid(axis="x", alpha=0.25)
