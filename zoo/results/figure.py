"""The certified-accuracy curve, the distribution of p_A and the classes, as a figure; the curve as a card's PNG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Literal

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from PIL import Image, UnidentifiedImageError

from zoo.errors import LogError
from zoo.results.balanced_accuracy import listed_classes
from zoo.results.log import CertificationRow, parse_log
from zoo.results.p_a_distribution import dkw_half_width, p_a_lower_bounds, p_a_of_label
from zoo.results.summary import Summary, binomial_interval, image_spacing, summarize
from zoo.results.usual_radii import usual_radii

PROBABILITIES = (1e-5, 1e-4, 0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999)
SMALLEST_MARGIN, LARGEST_MARGIN = 1e-6, 0.01
"""The scale of p_A ends at this distance from 0 and 1, or at half the smallest distance that occurs between them."""

LONGEST_NAME = 24
"""The figure cuts longer names of classes."""


def draw_curves(
    logs: Mapping[str, Sequence[CertificationRow]], path: Path, *, class_names: Sequence[str] | None = None
) -> None:
    """Writes `certified_accuracy_figure` to a .png, .svg or .pdf file, for a single log with a panel of the classes.

    Raises: LogError if the file cannot be written, or a log has no rows or mixes rules.
    """
    figure = certified_accuracy_figure(logs, class_names=class_names)
    try:
        figure.savefig(path, dpi=150)
    except (OSError, ValueError) as error:
        raise LogError(f"the figure {path} cannot be written: {error}") from error


def certified_accuracy_figure(
    logs: Mapping[str, Sequence[CertificationRow]], *, class_names: Sequence[str] | None = None
) -> Figure:
    """Certified accuracy over the radius, with 95 % intervals.

    Each log gives a curve with a band. A log of at-radius rows gives a point at the requested radius. A second panel
    shows the distribution of p_A of the true class of the logs that determine it. If none does, it shows the lower
    bounds of p_A of the selected class, which logs of earlier versions record. If `class_names` are given, which may be
    empty, a last panel shows the classes of the only log.
    Raises: LogError if a log has no rows or mixes rules.
    """
    draw_panel, p_a_of = draw_label_distribution, [p_a_of_label(rows) for rows in logs.values()]
    if all(p_a_N is None for p_a_N in p_a_of):
        draw_panel, p_a_of = draw_p_a, [p_a_lower_bounds(rows) for rows in logs.values()]
    has_p_a = any(p_a_N is not None for p_a_N in p_a_of)
    has_classes = class_names is not None and len(logs) == 1
    widths = [7, *([4] * (has_p_a + has_classes))]
    figure = Figure(figsize=(sum(widths), 4.5), layout="constrained")
    axes, *others = figure.subplots(1, len(widths), squeeze=False, width_ratios=widths)[0]
    if has_p_a:
        draw_panel(others[0], p_a_of)
        if draw_panel is draw_label_distribution:
            _note(others[0], p_a_of, list(logs.values()))
    if has_classes:
        draw_classes(others[-1], next(iter(logs.values())), class_names or ())
    furthest = max((_furthest(rows) for rows in logs.values()), default=0.0)
    end = max(furthest, 0.01) * 1.04
    for name, rows in logs.items():
        draw_log(axes, name, rows, end=end)
    axes.set_xlabel("l2 radius (pixels in [0, 1])")
    axes.set_ylabel("certified accuracy (%)")
    axes.set_xlim(0, end)
    axes.set_ylim(0, 100)
    axes.grid(alpha=0.3)
    axes.legend(loc="lower left", fontsize="small")
    return figure


def draw_log(axes: Axes, name: str, rows: Sequence[CertificationRow], *, end: float) -> None:
    """Draws one log: a step curve up to the radius `end`, or a point at the single requested radius."""
    summary = summarize(rows, radii=())
    if summary.radius_asked is None:
        _draw_curve(axes, rows, end=end, label=_label(name, summary))
    else:
        _draw_point(axes, summary, label=_label(name, summary))


def draw_p_a(axes: Axes, p_a_of_logs: Sequence[npt.NDArray[np.float64] | None]) -> None:
    """Draws, for each log, the share of its images whose lower bound of p_A exceeds x.

    The colors match `draw_log`, which uses one color of the cycle per log.
    """
    margin = _scale_of_probabilities(axes, p_a_of_logs)
    for index, p_a_N in enumerate(p_a_of_logs):
        if p_a_N is not None:
            thresholds = np.concatenate([[0.0], np.sort(p_a_N), [1.0]])
            shares = [100 * float((p_a_N > threshold).mean()) for threshold in thresholds]
            axes.step(np.clip(thresholds, margin, 1 - margin), shares, where="post", color=f"C{index}")
    axes.axvline(0.5, color="gray", linewidth=1, linestyle=":")
    axes.text(0.45, 3, "abstains", color="gray", fontsize="small", ha="right")
    axes.set_xlabel("x = lower bound of p_A")
    axes.set_ylabel("images above x, right or wrong (%)")
    axes.set_ylim(0, 100)
    axes.grid(alpha=0.3)


def draw_label_distribution(axes: Axes, p_a_of_logs: Sequence[npt.NDArray[np.float64] | None]) -> None:
    """Draws, for each log, the empirical distribution function of p_A of the true class with its 95 % band.

    The colors match `draw_log`, which uses one color of the cycle per log.
    """
    margin = _scale_of_probabilities(axes, p_a_of_logs)
    for index, p_a_N in enumerate(p_a_of_logs):
        if p_a_N is not None:
            values = np.concatenate([[0.0], np.unique(p_a_N), [1.0]])
            shares = np.array([(p_a_N <= value).mean() for value in values])
            values = np.clip(values, margin, 1 - margin)
            half_width = dkw_half_width(len(p_a_N))
            low, high = (100 * np.clip(shares + offset, 0, 1) for offset in (-half_width, half_width))
            axes.step(values, 100 * shares, where="post", color=f"C{index}")
            axes.fill_between(values, low, high, step="post", color=f"C{index}", alpha=0.15, linewidth=0)
    axes.axvline(0.5, color="gray", linewidth=1, linestyle=":")
    axes.set_xlabel("x = p_A of the true class (count_label / n)")
    axes.set_ylabel("images with p_A of at most x (%), 95 % band")
    axes.set_ylim(0, 100)
    axes.grid(alpha=0.3)


def draw_classes(axes: Axes, rows: Sequence[CertificationRow], names: Sequence[str]) -> None:
    """Draws certified accuracy of each class, of many classes the lowest, and below it the mean of all classes.

    A bar has a part per radius, darker for larger radii. The dashed line is the share of the most frequent class.
    """
    summary = summarize(rows, radii=usual_radii(rows))
    points = summary.certified_accuracy
    shown = listed_classes(summary.classes, [point.radius for point in points])
    labels = [f"{_class_name(counts.label, names)} ({counts.num_images})" for counts in shown]
    labels.append(f"mean of {len(summary.classes)} classes ({summary.num_images})")
    places = [*range(len(shown)), len(shown) + 0.4]
    for index, (point, mean) in enumerate(zip(points, summary.mean_per_class, strict=True)):
        shares = [100 * counts.num_certified[index] / counts.num_images for counts in shown]
        whiteness = 0.8 * (1 - (index + 1) / len(points))
        color = [whiteness + (1 - whiteness) * part for part in to_rgb("C0")]
        # Each bar is drawn over that of the next smaller radius.
        axes.barh(places, [*shares, 100 * mean.accuracy], height=0.8, color=color, label=point.at)
    axes.axhline(len(shown) - 0.3, color="black", linewidth=0.8)
    axes.set_yticks(places, labels, parse_math=False)  # a name may contain a dollar sign
    axes.tick_params(axis="y", labelsize="small")
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.set_xlabel("certified accuracy of each class (%)")
    axes.set_ylabel("class (images)" if len(shown) == len(summary.classes) else "classes of lowest accuracy (images)")
    axes.grid(alpha=0.3, axis="x")
    _draw_baseline(axes, 100 * summary.majority_baseline, _class_name(summary.majority_class, names))
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.2), ncols=len(points), fontsize="x-small", title="l2 radius")


def _draw_baseline(axes: Axes, share: float, name: str) -> None:
    """Draws the accuracy in percent of always answering one class, with its label above the axes."""
    axes.axvline(share, color="black", linewidth=1.2, linestyle="--")
    side: Literal["left", "right"] = "left" if share < 50 else "right"
    label = f"always {name}: {share:.1f} %"
    place = axes.get_xaxis_transform()
    axes.text(share, 1.01, label, fontsize="small", ha=side, transform=place, parse_math=False)


def _class_name(label: int, names: Sequence[str]) -> str:
    """The name of a class, cut at `LONGEST_NAME` characters, or its number if it has no name."""
    name = names[label] if label < len(names) else str(label)
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"


def _scale_of_probabilities(axes: Axes, p_a_of_logs: Sequence[npt.NDArray[np.float64] | None]) -> float:
    """Gives the x-axis a logit scale, on which probabilities near 0 and 1 differ; returns the margin at its ends.

    An image with p_A of 0 or 1 is drawn at an end. The axis begins below the smallest p_A.
    """
    values = np.concatenate([p_a_N for p_a_N in p_a_of_logs if p_a_N is not None])
    distances = np.minimum(values, 1 - values)
    smallest = float(distances[distances > 0].min(initial=2 * LARGEST_MARGIN))
    margin = min(LARGEST_MARGIN, max(SMALLEST_MARGIN, smallest / 2))
    axes.set_xscale("logit")
    axes.set_xlim(max(margin, min(0.1, float(values.min()) / 2)), 1 - margin)
    axes.xaxis.set_major_locator(FixedLocator([tick for tick in PROBABILITIES if margin <= tick <= 1 - margin]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda tick, _: f"{tick:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.tick_params(axis="x", labelsize="small")
    return margin


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
    axes.text(0.02, 0.98, "\n".join(notes), color="gray", fontsize="x-small", va="top", transform=axes.transAxes)


def _draw_curve(axes: Axes, rows: Sequence[CertificationRow], *, end: float, label: str) -> None:
    """Draws the exact curve: certified accuracy falls after each radius of a correct image."""
    certified_N, num = np.sort([row.radius for row in rows if row.correct]), len(rows)
    radii_S = np.unique(np.concatenate([[0.0], certified_N, [end]]))
    counts_S = len(certified_N) - np.searchsorted(certified_N, radii_S, side="left")
    (line,) = axes.step(radii_S, 100 * counts_S / num, where="pre", label=label)
    bounds_S2 = 100 * np.array([binomial_interval(int(count), num) for count in counts_S])
    low_S, high_S = bounds_S2.T
    axes.fill_between(radii_S, low_S, high_S, step="pre", color=line.get_color(), alpha=0.15, linewidth=0)


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
