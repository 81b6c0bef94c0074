"""The results of the finished runs of a study, grouped over seeds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import NamedTuple

from training.study.folder import StudyFolder
from training.study.long_table import RANDOM, ROBUSTNESS, STANDARD_ACCURACY, Kind, LongTable
from training.study.plan import Run
from training.study.result import RunResult
from training.study.statistics import Interval, mean_interval
from training.study.study_file import CERTIFIED_RADIUS, Role
from zoo.models.measurements import CertificationResult

ROBUST_ACCURACY, CERTIFIED_ACCURACY, ACR = "robust_accuracy", "certified_accuracy_at_0.5", "average_certified_radius"


NAMES = {STANDARD_ACCURACY: "SA", ROBUST_ACCURACY: "RA", CERTIFIED_ACCURACY: "CA at 0.5", ACR: "ACR"}


class Reading(NamedTuple):
    """A number of one run with its 95 % interval over images; in percent, or a radius on the [0, 1] pixel scale."""

    value: float
    interval: Interval | None


Readings = Mapping[str, Reading]
Key = tuple[str, str, str]
"""Target, method, starting point."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One number for each seed, in percent, or a radius on the [0, 1] pixel scale."""

    by_seed: Mapping[int, Reading]

    @property
    def values(self) -> list[float]:
        return [reading.value for reading in self.by_seed.values()]

    @property
    def mean(self) -> float:
        return fmean(self.values)

    @property
    def seeds_interval(self) -> Interval | None:
        """Student's 95 % interval of the mean; it covers the variation by training, subset of labels and attack."""
        return mean_interval(self.values)

    @property
    def images_interval(self) -> Interval | None:
        """The mean of the seeds' 95 % intervals over images; all seeds use the same images."""
        intervals = [reading.interval for reading in self.by_seed.values() if reading.interval is not None]
        if len(intervals) < len(self.by_seed):
            return None
        return fmean(low for low, _ in intervals), fmean(high for _, high in intervals)


@dataclass(frozen=True, slots=True)
class Evidence:
    """The finished runs of a study with their results, and its unfinished runs."""

    finished: Sequence[tuple[Run, RunResult]]
    unfinished: Sequence[Run]

    def cells(self, role: Role, read: Callable[[RunResult], Readings]) -> dict[Key, dict[str, Cell]]:
        """The readings of the runs of that role, by target, method and starting point, in the plan's order."""
        chosen = [(run, read(result)) for run, result in self.finished if run.role == role]
        keys = dict.fromkeys((run.target, run.method, run.starting_point) for run, readings in chosen if readings)
        return {key: _cells((run.seed, readings) for run, readings in chosen if _key(run) == key) for key in keys}

    def pretrained(self, read: Callable[[RunResult], Readings]) -> dict[str, dict[str, Cell]]:
        """The readings of the pre-trained networks, by starting point."""
        chosen = [(run, read(result)) for run, result in self.finished if run.role is None]
        names = dict.fromkeys(run.starting_point for run, readings in chosen if readings)
        return {
            name: _cells((run.seed, readings) for run, readings in chosen if run.starting_point == name)
            for name in names
        }

    def networks(self, read: Callable[[RunResult], Readings]) -> dict[Key, dict[str, Cell]]:
        """The readings of all runs, by target, method and starting point, in the plan's order.

        A pre-trained network has its own name instead of its starting point.
        """
        by_key: dict[Key, list[tuple[int, Readings]]] = {}
        for run, result in self.finished:
            if readings := read(result):
                by_key.setdefault(_key(run), []).append((run.seed, readings))
        return {key: _cells(rows) for key, rows in by_key.items()}

    def robustness(self, kind: Kind) -> dict[Key, dict[str, Cell]]:
        """Standard accuracy and the measures of robustness of the paper's Table 4 (`empirical`) or 5 (`certified`)."""
        return self.cells("empirical", empirical) if kind == "empirical" else self.cells("certified", certified)

    def table(self, kind: Kind, seed: int | None = None) -> LongTable:
        """Table 4 or 5 with means over seeds, or with the numbers of one seed.

        A task whose number from `random` is 0 is left out: a relative improvement over 0 is undefined.
        """
        cells: dict[tuple[str, str], dict[str, float]] = {}
        for (target, _, start), row in self.robustness(kind).items():
            if all(name in row and (seed is None or seed in row[name].by_seed) for name in _metrics(kind)):
                values = {n: row[n].mean if seed is None else row[n].by_seed[seed].value for n in _metrics(kind)}
                cells[target, start] = values
        excluded = {target for (target, start), values in cells.items() if start == RANDOM and not all(values.values())}
        return LongTable(kind=kind, cells={key: values for key, values in cells.items() if key[0] not in excluded})

    def images_per_class(self, target: str) -> float:
        """The number of training images per class of the task; the smallest over its runs."""
        return min(
            result.num_train_images / result.num_classes for run, result in self.finished if run.target == target
        )

    @property
    def seeds(self) -> list[int]:
        return sorted({run.seed for run, _ in self.finished})


def gather(runs: Sequence[Run], folder: StudyFolder) -> Evidence:
    """The evidence in a study's folder; results that another study file requested do not count.

    Raises: CheckpointError if a result is damaged.
    """
    results = [(run, folder.result(run)) for run in runs]
    finished = [(run, result) for run, result in results if result is not None and result.request == run.request()]
    done = {run.id for run, _ in finished}
    return Evidence(finished, [run for run in runs if run.id not in done])


def empirical(result: RunResult) -> Readings:
    """Standard and robust accuracy of the base classifier, in percent; empty if it was not attacked."""
    measured = result.empirical
    if measured is None or measured.robust_accuracy is None:
        return {}
    return {
        STANDARD_ACCURACY: _percent(measured.standard_accuracy, measured.standard_accuracy_interval),
        ROBUST_ACCURACY: _percent(measured.robust_accuracy, measured.robust_accuracy_interval),
    }


def under_noise(result: RunResult) -> Readings:
    """Accuracy of the base classifier in percent, by the noise's sigma."""
    if result.empirical is None:
        return {}
    return {f"{point.sigma:g}": _percent(point.accuracy, point.interval) for point in result.empirical.noise}


def certified(result: RunResult) -> Readings:
    """The readings of the smoothed classifier at the largest certified sigma."""
    return smoothed_at(max((certification.sigma for certification in result.certifications), default=0.0))(result)


def smoothed_at(sigma: float) -> Callable[[RunResult], Readings]:
    """Reads the smoothed classifier at that sigma: accuracies in percent, radius on the [0, 1] pixel scale."""

    def read(result: RunResult) -> Readings:
        measured = result.certification_at(sigma)
        if measured is None or measured.standard_accuracy is None or measured.average_certified_radius is None:
            return {}
        return {
            STANDARD_ACCURACY: _percent(measured.standard_accuracy, measured.standard_accuracy_interval),
            CERTIFIED_ACCURACY: _at_radii(measured)[CERTIFIED_RADIUS],
            ACR: Reading(measured.average_certified_radius, measured.average_certified_radius_interval),
        }

    return read


def certified_at_radii(sigma: float) -> Callable[[RunResult], Readings]:
    """Reads the certified accuracy of the smoothed classifier at that sigma, in percent, by radius."""

    def read(result: RunResult) -> Readings:
        measured = result.certification_at(sigma)
        return {} if measured is None else {f"{radius:g}": reading for radius, reading in _at_radii(measured).items()}

    return read


def _at_radii(measured: CertificationResult) -> dict[float, Reading]:
    return {point.radius: _percent(point.accuracy, (point.low, point.high)) for point in measured.certified_accuracy}


def _percent(share: float, interval: Interval | None) -> Reading:
    return Reading(100 * share, None if interval is None else (100 * interval[0], 100 * interval[1]))


def _key(run: Run) -> Key:
    return run.target, run.method, run.starting_point


def _cells(readings_of_seeds: Iterable[tuple[int, Readings]]) -> dict[str, Cell]:
    by_metric: dict[str, dict[int, Reading]] = {}
    for seed, readings in readings_of_seeds:
        for name, reading in readings.items():
            by_metric.setdefault(name, {})[seed] = reading
    return {name: Cell(by_seed) for name, by_seed in by_metric.items()}


def _metrics(kind: Kind) -> tuple[str, ...]:
    return (STANDARD_ACCURACY, *ROBUSTNESS[kind])
