"""The certified-accuracy curve and the distribution of p_A, as a figure and as the PNG on a card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image, UnidentifiedImageError

from zoo.errors import LogError
from zoo.results.log import CertificationRow, parse_log
from zoo.results.p_a_distribution import dkw_half_width, p_a_lower_bounds, p_a_of_label
from zoo.results.summary import Summary, image_spacing, summarize

NUM_POINTS = 200


def draw_curves(logs: Mapping[str, Sequence[CertificationRow]], path: Path) -> None:
    """Writes `certified_accuracy_figure` to a .png, .svg or .pdf file.

    Raises: LogError if the file cannot be written, or a log has no rows or mixes rules.
    """
    figure = certified_accuracy_figure(logs)
    try:
        figure.savefig(path, dpi=150)
    except (OSError, ValueError) as error:
        raise LogError(f"the figure {path} cannot be written: {error}") from error


def certified_accuracy_figure(logs: Mapping[str, Sequence[CertificationRow]]) -> Figure:
    """Certified accuracy over the radius, with 95 % intervals.

    Each log gives a curve with a band. A log of at-radius rows gives a point at the requested radius. A second panel
    shows the distribution of p_A of the true class of the logs that determine it. If none does, it shows the lower
    bounds of p_A of the selected class, which logs of earlier versions record.
    Raises: LogError if a log has no rows or mixes rules.
    """
    draw_panel, p_a_of = draw_label_distribution, [p_a_of_label(rows) for rows in logs.values()]
    if all(p_a_N is None for p_a_N in p_a_of):
        draw_panel, p_a_of = draw_p_a, [p_a_lower_bounds(rows) for rows in logs.values()]
    has_p_a = any(p_a_N is not None for p_a_N in p_a_of)
    figure = Figure(figsize=(11, 4.5) if has_p_a else (7, 4.5), layout="constrained")
    axes, *p_a_panel = figure.subplots(1, 2 if has_p_a else 1, squeeze=False, width_ratios=(7, 4)[: 1 + has_p_a])[0]
    if p_a_panel:
        draw_panel(p_a_panel[0], p_a_of)
        if draw_panel is draw_label_distribution:
            _note(p_a_panel[0], p_a_of, list(logs.values()))
    furthest = max((_furthest(rows) for rows in logs.values()), default=0.0)
    radii = np.linspace(0, max(furthest, 0.01) * 1.04, NUM_POINTS).tolist()
    for name, rows in logs.items():
        draw_log(axes, name, rows, radii=radii)
    axes.set_xlabel("l2 radius (pixels in [0, 1])")
    axes.set_ylabel("certified accuracy (%)")
    axes.set_xlim(0, radii[-1])
    axes.set_ylim(0, 100)
    axes.grid(alpha=0.3)
    axes.legend(loc="lower left", fontsize="small")
    return figure


def draw_log(axes: Axes, name: str, rows: Sequence[CertificationRow], *, radii: Sequence[float]) -> None:
    """Draws one log: a curve over `radii`, or a point at the single requested radius."""
    summary = summarize(rows, radii=radii)
    draw = _draw_curve if summary.radius_asked is None else _draw_point
    draw(axes, summary, label=_label(name, summary))


def draw_p_a(axes: Axes, p_a_of_logs: Sequence[npt.NDArray[np.float64] | None]) -> None:
    """Draws, for each log, the share of its images whose lower bound of p_A exceeds x.

    The colors match `draw_log`, which uses one color of the cycle per log.
    """
    for index, p_a_N in enumerate(p_a_of_logs):
        if p_a_N is not None:
            thresholds = np.concatenate([[0.0], np.sort(p_a_N), [1.0]])
            shares = [100 * float((p_a_N > threshold).mean()) for threshold in thresholds]
            axes.step(thresholds, shares, where="post", color=f"C{index}")
    axes.axvline(0.5, color="gray", linewidth=1, linestyle=":")
    axes.text(0.49, 3, "abstains", color="gray", fontsize="small", ha="right")
    axes.set_xlabel("x = lower bound of p_A")
    axes.set_ylabel("images above x, right or wrong (%)")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 100)
    axes.grid(alpha=0.3)


def draw_label_distribution(axes: Axes, p_a_of_logs: Sequence[npt.NDArray[np.float64] | None]) -> None:
    """Draws, for each log, the empirical distribution function of p_A of the true class with its 95 % band.

    The colors match `draw_log`, which uses one color of the cycle per log.
    """
    for index, p_a_N in enumerate(p_a_of_logs):
        if p_a_N is not None:
            values = np.concatenate([[0.0], np.unique(p_a_N), [1.0]])
            shares = np.array([(p_a_N <= value).mean() for value in values])
            half_width = dkw_half_width(len(p_a_N))
            low, high = (100 * np.clip(shares + offset, 0, 1) for offset in (-half_width, half_width))
            axes.step(values, 100 * shares, where="post", color=f"C{index}")
            axes.fill_between(values, low, high, step="post", color=f"C{index}", alpha=0.15, linewidth=0)
    axes.axvline(0.5, color="gray", linewidth=1, linestyle=":")
    axes.set_xlabel("x = p_A of the true class (count_label / n)")
    axes.set_ylabel("images with p_A of at most x (%), 95 % band")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 100)
    axes.grid(alpha=0.3)


def _note(
    axes: Axes, p_a_of_logs: Sequence[npt.NDArray[np.float64] | None], logs: Sequence[Sequence[CertificationRow]]
) -> None:
    """Writes which logs are left out of the distribution, and whether its images are no random sample."""
    notes = []
    if any(p_a_N is None for p_a_N in p_a_of_logs):
        notes.append("logs that do not determine it are left out")
    shown = (rows for p_a_N, rows in zip(p_a_of_logs, logs, strict=True) if p_a_N is not None)
    if any(image_spacing(rows) is not None for rows in shown):
        notes.append("evenly spaced images, not a random sample")
    axes.text(0.02, 98, "\n".join(notes), color="gray", fontsize="x-small", va="top")


def _draw_curve(axes: Axes, summary: Summary, *, label: str) -> None:
    points = summary.certified_accuracy
    radii = [point.radius for point in points]
    (line,) = axes.plot(radii, [100 * point.accuracy for point in points], label=label)
    low, high = ([100 * value for value in bound] for bound in zip(*((p.low, p.high) for p in points), strict=True))
    axes.fill_between(radii, low, high, color=line.get_color(), alpha=0.15, linewidth=0)


def _draw_point(axes: Axes, summary: Summary, *, label: str) -> None:
    (point,) = summary.certified_accuracy
    below, above = 100 * (point.accuracy - point.low), 100 * (point.high - point.accuracy)
    axes.errorbar([point.radius], [100 * point.accuracy], yerr=[[below], [above]], fmt="o", capsize=4, label=label)


def _furthest(rows: Sequence[CertificationRow]) -> float:
    """The largest radius to show, requested or certified."""
    requested = [row.provenance.radius_asked for row in rows if row.provenance is not None]
    return max([row.radius for row in rows] + [radius for radius in requested if radius is not None], default=0.0)


def _label(name: str, summary: Summary) -> str:
    acr = summary.average_certified_radius
    return f"{name}\n{summary.conditions}" + ("" if acr is None else f", ACR {acr:.3f}")


def curve_png(rows: bytes, *, name: str) -> bytes:
    """The PNG of certified accuracy over the radius; the same rows and library versions give the same bytes.

    Raises: LogError if the rows are not a log or the log is empty.
    """
    figure = certified_accuracy_figure({name: parse_log(rows.decode(errors="replace"), source="certification.tsv")})
    png = BytesIO()
    figure.savefig(png, format="png", dpi=100, metadata={"Software": f"matplotlib {matplotlib.__version__}"})
    return png.getvalue()


def drawing_software(png: bytes) -> str | None:
    """The program and version in a PNG's metadata; None if the PNG names none or the bytes are not an image."""
    try:
        software = Image.open(BytesIO(png)).info.get("Software")
    except (UnidentifiedImageError, OSError, SyntaxError):  # Pillow raises these for damaged bytes
        return None
    return None if software is None else str(software)
