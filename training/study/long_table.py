"""Long tables with one row per task and starting point, in the columns of the paper's Tables 4 and 5."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from zoo.errors import LogError

RANDOM = "random"
"""The starting point that improvements are relative to."""

STANDARD_ACCURACY = "standard_accuracy"
ROBUSTNESS: Mapping[str, tuple[str, ...]] = {
    "empirical": ("robust_accuracy",),
    "certified": ("certified_accuracy_at_0.5", "average_certified_radius"),
}
"""The measures of robustness in a table of each kind, in addition to standard accuracy."""

Kind = str
Cells = Mapping[tuple[str, str], Mapping[str, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class LongTable:
    """Measured numbers by task and starting point; `kind` names the measures of robustness in `ROBUSTNESS`.

    All accuracies have the same unit; radii are on the [0, 1] pixel scale.
    """

    kind: Kind
    cells: Cells

    @property
    def metrics(self) -> tuple[str, ...]:
        """Standard accuracy, then the measures of robustness."""
        return (STANDARD_ACCURACY, *ROBUSTNESS[self.kind])

    @property
    def initializations(self) -> list[str]:
        """The starting points except `random`, in the table's order."""
        return [name for name in dict.fromkeys(name for _, name in self.cells) if name != RANDOM]

    def tasks_of(self, initialization: str) -> list[str]:
        """The tasks that have numbers from this starting point and from `random`, in the table's order."""
        named = [task for task, name in self.cells if name == initialization]
        return [task for task in named if (task, RANDOM) in self.cells]


def read_table(path: Path) -> LongTable:
    """The table in a CSV file; additional columns are ignored.

    Raises: LogError with the file, and the line of a wrong value.
    """
    try:
        lines = list(csv.reader(path.read_text(encoding="utf-8").splitlines()))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise LogError(f"{path} cannot be read: {error}") from error
    header = lines[0] if lines else []
    kind = _kind_of(header, path)
    cells: dict[tuple[str, str], dict[str, float]] = {}
    for number, values in enumerate(lines[1:], start=2):
        if not values:
            continue
        where = f"{path}, line {number}"
        if len(values) != len(header):
            raise LogError(f"{where} has {len(values)} values; expected {len(header)}, one per column")
        row = dict(zip(header, values, strict=True))
        key = row["task"], row["initialization"]
        if key in cells:
            raise LogError(f"{where} repeats {key[0]} from {key[1]}")
        cells[key] = {name: _number(row[name], name, where) for name in (STANDARD_ACCURACY, *ROBUSTNESS[kind])}
    return LongTable(kind=kind, cells=cells)


def _kind_of(header: Sequence[str], path: Path) -> Kind:
    for kind, metrics in ROBUSTNESS.items():
        if {"task", "initialization", STANDARD_ACCURACY, *metrics} <= set(header):
            return kind
    expected = " or ".join(
        ",".join(("task", "initialization", STANDARD_ACCURACY, *metrics)) for metrics in ROBUSTNESS.values()
    )
    columns = f"has the columns {','.join(header)}" if header else "is empty"
    raise LogError(f"{path} {columns}; expected the columns {expected}")


def _number(text: str, name: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= 0):
        raise LogError(f"{where}: {name} must be a number of at least 0, got {text!r}")
    return value
