"""The output of a certification report, as tables or JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from training.evaluation.run_record import CLASS_NAMES, run_record_path
from zoo.cli._console import PlainConsole
from zoo.cli._shares import percent, percents
from zoo.models.layout import CONFIG
from zoo.results.balanced_accuracy import FEW_IMAGES, listed_classes
from zoo.results.log import CertificationRow
from zoo.results.summary import Summary, summarize
from zoo.results.usual_radii import usual_radii

ABOUT_ACR = (
    "The average certified radius alone can mislead: it has no upper limit as p_A approaches 1, so a few easy images "
    "can dominate it (Sun et al. 2025, arXiv 2410.06895). Compare the distribution of p_A of the true class as well."
)


def print_report(
    logs: Mapping[Path, Sequence[CertificationRow]], *, radii: Sequence[float] | None = None, as_json: bool = False
) -> None:
    """Prints the numbers of each log to stdout, with the names of the classes where the log's folder states them.

    Without `radii`, each log has its `usual_radii`.
    Raises: LogError if a log has no row, or mixes rows of the at-radius rule with rows of other rules.
    """
    summaries = {
        path: summarize(rows, radii=usual_radii(rows) if radii is None else radii) for path, rows in logs.items()
    }
    console = PlainConsole()
    if as_json:
        listed = [as_json_object(path, summary) for path, summary in summaries.items()]
        console.out(json.dumps(listed, indent=2), highlight=False)
        return
    for path, summary in summaries.items():
        names = class_names_of(path)
        table = table_of_classes(summary, names)
        which = "each class" if table.row_count == len(summary.classes) else f"the {table.row_count} lowest classes"
        bound = "" if summary.bound is None else f", bound {summary.bound}"
        few = f"\nFewer than {FEW_IMAGES} images: the intervals are wide." if summary.num_images < FEW_IMAGES else ""
        _print_line(console, f"{path}: {summary.conditions}{bound}{few}")
        console.print(table_of(summary, names))
        _print_line(console, f"certified accuracy of {which}")
        console.print(table)
    if any(summary.average_certified_radius is not None for summary in summaries.values()):
        _print_line(console, ABOUT_ACR)


def _print_line(console: PlainConsole, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def class_names_of(log: Path) -> tuple[str, ...]:
    """The names of the classes, from the record next to a log or its checkpoint's config; () if none is readable."""
    for path, keys in ((run_record_path(log), (CLASS_NAMES,)), (log.with_name(CONFIG), ("certified", CLASS_NAMES))):
        try:
            value = json.loads(path.read_text())
            for key in keys:
                value = value[key]
        except (OSError, ValueError, LookupError, TypeError, RecursionError):
            continue
        if isinstance(value, list):
            return tuple(map(str, value))
    return ()


def name_of(label: int, names: Sequence[str]) -> str:
    """The name of a class, or its number if it has no name."""
    return names[label] if label < len(names) else str(label)


def as_json_object(path: Path, summary: Summary) -> dict[str, object]:
    """The numbers of one log as JSON with a stable format."""
    names = class_names_of(path)
    classes = [{"name": name_of(counts.label, names), **counts.model_dump()} for counts in summary.classes]
    return {"file": str(path), **plain(summary), "classes": classes}


def plain(summary: Summary) -> dict[str, object]:
    """The numbers as JSON values."""
    lists = ("certified_accuracy", "mean_per_class", "classes")
    distribution = summary.p_a_of_label
    return {
        **asdict(summary),
        **{name: [part.model_dump() for part in getattr(summary, name)] for name in lists},
        "p_a_of_label": None if distribution is None else distribution.model_dump(mode="json"),
    }


def table_of(summary: Summary, names: Sequence[str]) -> Table:
    """The numbers of one log as a table; numbers that its rows do not determine are left out."""
    table = Table("", "value", "95 % interval", caption_justify="left")
    for column in table.columns[:2]:
        column.no_wrap = True  # a narrow terminal wraps the reasons and intervals
    if summary.standard_accuracy is not None and summary.standard_accuracy_interval is not None:
        accuracy = percent(summary.standard_accuracy)
        table.add_row("accuracy of the smoothed classifier", accuracy, percents(summary.standard_accuracy_interval))
    for point in summary.certified_accuracy:
        name = f"certified accuracy at {point.at}"
        table.add_row(name, percent(point.accuracy), percents((point.low, point.high)))
    for point in summary.mean_per_class:
        name = f"mean per class, certified at {point.at}"
        table.add_row(name, percent(point.accuracy), percents((point.low, point.high)))
    majority = escape(name_of(summary.majority_class, names))
    table.add_row(f"always answering {majority}", percent(summary.majority_baseline), "at every radius")
    if summary.average_certified_radius is not None:
        interval = summary.average_certified_radius_interval
        words = "unknown" if interval is None else f"{interval[0]:.3f} to {interval[1]:.3f}"
        table.add_row("average certified radius", f"{summary.average_certified_radius:.3f}", words)
    table.add_row("abstention", percent(summary.abstention_rate), percents(summary.abstention_rate_interval))
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
        yield name, percent(point.share), f"{percents((point.low, point.high))} (band)"


def table_of_classes(summary: Summary, names: Sequence[str]) -> Table:
    """The certified accuracy of each class; of many classes only the lowest."""
    radii = [point.radius for point in summary.certified_accuracy]
    table = Table("class", "images", *(f"at {point.at}" for point in summary.certified_accuracy))
    for column in table.columns[1:]:
        column.justify = "right"
    for counts in listed_classes(summary.classes, radii):
        shares = [percent(certified / counts.num_images) for certified in counts.num_certified]
        table.add_row(escape(name_of(counts.label, names)), str(counts.num_images), *shares)
    return table
