"""A study's table as text cells for Markdown and HTML, and as CSV in long form."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

from training.study.evidence import Cell
from training.study.statistics import Interval
from training.study.tables import Row, StudyTable, plain

SHORT = {
    "standard_accuracy": "SA (%)",
    "robust_accuracy": "RA (%)",
    "certified_accuracy_at_0.5": "CA at 0.5 (%)",
    "average_certified_radius": "ACR (l2)",
    "accuracy": "accuracy (%)",
    "certified_accuracy": "certified accuracy (%)",
    "mean_per_class_accuracy": "mean per class SA (%)",
    "mean_per_class_robust_accuracy": "mean per class RA (%)",
    "mean_per_class_certified_accuracy": "mean per class CA (%)",
}
INTERVALS = (
    "Mean over seeds (95 % interval over seeds; 95 % interval over images). Radii, sigmas and epsilon are on the "
    "[0, 1] pixel scale."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TextTable:
    """A table whose cells are text."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""

    @property
    def markdown(self) -> str:
        """The title, the table and the note in Markdown."""
        lines = [self.columns, ("---",) * len(self.columns), *self.rows]
        table = "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
        return "\n\n".join(part for part in (f"## {self.title}", table, self.note) if part)


def text_table(table: StudyTable) -> TextTable:
    """The table as text, with extra columns for the paper's numbers if the paper has any of the rows."""
    paper = table.paper
    shares_rows = any(plain(row.key) in paper for row in table.rows)
    paper_columns = tuple(f"paper: {SHORT[name]}" for name in table.metrics) if shares_rows else ()
    note = INTERVALS
    if paper and not shares_rows:
        note += f" The paper has other rows: training/study/paper/{table.stem}.csv."
    if shares_rows:
        note += " The paper's numbers are for ResNet-50 at 224 pixels; those of Tables 2 and 3 are on ImageNet."
    return TextTable(
        title=table.title,
        columns=(
            *(key.replace("_", " ") for key in table.keys),
            *(SHORT[name] for name in table.metrics),
            *paper_columns,
        ),
        rows=tuple(_words(row, table, paper.get(plain(row.key), {}), has_paper=shares_rows) for row in table.rows),
        note=note,
    )


def csv_text(table: StudyTable) -> str:
    """The table as CSV: the paper's columns first, then the number of seeds and the ends of the intervals."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    ends = [f"{name}_{over}_{end}" for name in table.metrics for over in ("seeds", "images") for end in ("low", "high")]
    writer.writerow([*table.keys, *table.metrics, "num_seeds", *ends])
    for row in table.rows:
        cells = [row.cells.get(name) for name in table.metrics]
        num_seeds = max(len(cell.by_seed) for cell in cells if cell is not None)
        means = ["" if cell is None else f"{cell.mean:.6g}" for cell in cells]
        writer.writerow([*row.key, *means, num_seeds, *(end for cell in cells for end in _ends(cell))])
    return file.getvalue()


def number(name: str, value: float) -> str:
    """The value of the metric `name` with the paper's number of digits."""
    return f"{value:.3f}" if name == "average_certified_radius" else f"{value:.1f}"


def interval_words(name: str, interval: Interval | None) -> str:
    """The ends of an interval, or a dash if there is none."""
    return "-" if interval is None else f"{number(name, interval[0])} to {number(name, interval[1])}"


def _words(row: Row, table: StudyTable, paper: dict[str, float], *, has_paper: bool) -> tuple[str, ...]:
    ours = (_cell(name, row.cells.get(name)) for name in table.metrics)
    theirs = (number(name, paper[name]) if name in paper else "" for name in table.metrics) if has_paper else ()
    return (*row.key, *ours, *theirs)


def _cell(name: str, cell: Cell | None) -> str:
    if cell is None:
        return ""
    over_seeds, over_images = interval_words(name, cell.seeds_interval), interval_words(name, cell.images_interval)
    return f"{number(name, cell.mean)} ({over_seeds}; {over_images})"


def _ends(cell: Cell | None) -> Sequence[str]:
    intervals = (None, None) if cell is None else (cell.seeds_interval, cell.images_interval)
    return [
        text
        for interval in intervals
        for text in (("", "") if interval is None else (f"{interval[0]:.6g}", f"{interval[1]:.6g}"))
    ]
