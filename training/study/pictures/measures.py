"""The tables of the pictures study: every network's measures, and the baselines that they must beat."""

from __future__ import annotations

from collections.abc import Callable
from statistics import fmean

from training.study.evidence import ACR, ROBUST_ACCURACY, Evidence, Key, Readings
from training.study.long_table import STANDARD_ACCURACY
from training.study.pictures.readings import (
    CERTIFIED,
    MEAN_ACCURACY,
    MEAN_CERTIFIED,
    MEAN_ROBUST,
    base_classifier,
    certified_radius,
    largest_sigma,
    smoothed_classifier,
)
from training.study.rendering import TextTable
from training.study.result import RunResult
from training.study.tables import Row, StudyTable

KEYS = ("target", "method", "starting_point")


def measures_tables(evidence: Evidence) -> list[StudyTable]:
    """The base classifiers and the smoothed classifiers of all finished runs."""
    pretrained = starting_points(evidence)

    def rows(read: Callable[[RunResult], Readings]) -> tuple[Row, ...]:
        return tuple(
            Row(key=_shown(key, key in pretrained), cells=cells) for key, cells in evidence.networks(read).items()
        )

    tables = (
        StudyTable(
            stem="base_classifiers",
            title="Base classifiers: standard and robust accuracy",
            keys=KEYS,
            metrics=(STANDARD_ACCURACY, MEAN_ACCURACY, ROBUST_ACCURACY, MEAN_ROBUST),
            rows=rows(base_classifier),
        ),
        StudyTable(
            stem="smoothed_classifiers",
            title=f"Smoothed classifiers: accuracy, certified accuracy at radius {_radius(evidence):g} and ACR",
            keys=KEYS,
            metrics=(STANDARD_ACCURACY, MEAN_ACCURACY, CERTIFIED, MEAN_CERTIFIED, ACR),
            rows=rows(smoothed_classifier),
        ),
    )
    return [table for table in tables if table.rows]


def starting_points(evidence: Evidence) -> set[Key]:
    """The keys of the networks that are starting points themselves."""
    return {(run.target, run.method, run.starting_point) for run, _ in evidence.finished if run.role is None}


def baselines_table(evidence: Evidence) -> TextTable:
    """The certified images of each class of every target, and what a constant classifier reaches."""
    rows = []
    for target in dict.fromkeys(run.target for run, _ in evidence.finished):
        counted = [
            [counts.num_images for counts in measured.classes]
            for run, result in evidence.finished
            if run.target == target and (measured := largest_sigma(result)) is not None and measured.classes is not None
        ]
        if counted:
            largest = fmean(max(images) / sum(images) for images in counted)
            rows.append(
                (
                    target,
                    " or ".join(dict.fromkeys(str(sum(images)) for images in counted)),
                    ", ".join(map(str, counted[0])),
                    f"{100 * largest:.1f}",
                    f"{100 / len(counted[0]):.1f}",
                )
            )
    return TextTable(
        title="Baselines: always answering the largest class",
        columns=("target", "certified images", "images of each class", "accuracy (%)", "mean per class (%)"),
        rows=tuple(rows),
        note="A smoothed classifier that answers one class is certified at every radius. It reaches the table's "
        "accuracy and mean per class, at radius 0 and at the certified radius. Of several seeds, the classes' images "
        "are those of the first.",
    )


def _shown(key: Key, is_pretrained: bool) -> tuple[str, ...]:
    target, method, start = key
    return target, method, f"(is the starting point {start})" if is_pretrained else start


def _radius(evidence: Evidence) -> float:
    return next(certified_radius(result) for _, result in evidence.finished)
