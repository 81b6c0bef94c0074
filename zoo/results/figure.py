"""The certified-accuracy curve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from zoo.errors import LogError
from zoo.results.log import CertificationRow
from zoo.results.summary import Summary, summarize

NUM_POINTS = 200


def draw_curves(logs: Mapping[str, Sequence[CertificationRow]], path: Path) -> None:
    """Draws certified accuracy over the radius, one curve a log with its 95 % band, into a .png, .svg or .pdf file.

    Raises: LogError if the file cannot be written.
    """
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    furthest = max(row.radius for rows in logs.values() for row in rows)
    radii = np.linspace(0, max(furthest, 0.01) * 1.04, NUM_POINTS).tolist()
    for name, rows in logs.items():
        summary = summarize(rows, radii=radii)
        (line,) = axes.plot(
            radii, [100 * point.accuracy for point in summary.certified_accuracy], label=_label(name, summary)
        )
        axes.fill_between(
            radii,
            [100 * point.low for point in summary.certified_accuracy],
            [100 * point.high for point in summary.certified_accuracy],
            color=line.get_color(),
            alpha=0.15,
            linewidth=0,
        )
    axes.set_xlabel("l2 radius (pixels in [0, 1])")
    axes.set_ylabel("certified accuracy (%)")
    axes.set_xlim(0, radii[-1])
    axes.set_ylim(0, 100)
    axes.grid(alpha=0.3)
    axes.legend(loc="lower left", fontsize="small")
    try:
        figure.savefig(path, dpi=150)
    except (OSError, ValueError) as error:
        raise LogError(f"the figure {path} cannot be written: {error}") from error


def _label(name: str, summary: Summary) -> str:
    known = [f"{summary.num_images} images", f"ACR {summary.average_certified_radius:.3f}"]
    if summary.sigma is not None and summary.n is not None and summary.alpha is not None:
        known[:0] = [f"sigma {summary.sigma:g}", f"n {summary.n:,}", f"alpha {summary.alpha:g}"]
    return f"{name}\n{', '.join(known)}"
