"""The record of a run, next to its log."""

from __future__ import annotations

from pathlib import Path

CLASS_NAMES = "class_names"
"""The key of the names of the classes, in the order of their numbers."""


def run_record_path(output: Path) -> Path:
    """The path of the run's record. It is not in the log, because other tools expect the log's columns."""
    return output.with_name(output.name + ".run.json")
