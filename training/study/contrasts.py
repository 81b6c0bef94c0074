"""The estimates that decide claims: one number per seed, then its mean and Student's interval over seeds.

Seeds are paired: seed s fine-tunes the network that seed s pre-trained, with the same labelled images for every
starting point.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from statistics import fmean

from training.study.claim import Estimate
from training.study.evidence import Cell, Evidence, Key, Readings
from training.study.long_table import STANDARD_ACCURACY, Kind
from training.study.result import RunResult
from training.study.statistics import fit_line, mean_interval, relative_improvements
from training.study.study_file import Role

FEW, MANY = 100, 500
"""The largest number of images per class of an under-represented task (the paper's Flowers, Caltech-101 and Pets), and
the smallest number of a well-represented task (the paper's CIFAR-100, Food and CIFAR-10)."""

PerSeed = Callable[[Evidence, int], float | None]
Estimator = Callable[[Evidence], Estimate | None]
Reader = Callable[[RunResult], Readings]


def mean_over_seeds(of_seed: PerSeed) -> Estimator:
    """The mean and interval of `of_seed` over the seeds for which it returns a number."""

    def measure(evidence: Evidence) -> Estimate | None:
        values = [value for seed in evidence.seeds if (value := of_seed(evidence, seed)) is not None]
        return Estimate(fmean(values), mean_interval(values)) if values else None

    return measure


def r_squared(kind: Kind, initialization: str, metric: str) -> Estimator:
    """R^2 of improvements in `metric` against improvements in standard accuracy, with its interval over tasks."""

    def measure(evidence: Evidence) -> Estimate | None:
        table = evidence.table(kind)
        if not table.tasks_of(initialization):
            return None
        x, y = (relative_improvements(table, initialization, name) for name in (STANDARD_ACCURACY, metric))
        fit = fit_line(x, y)
        return None if fit is None else Estimate(fit.r_squared, fit.r_squared_interval)

    return measure


def improvement(kind: Kind, initialization: str, metric: str, *, tasks: str = "all") -> PerSeed:
    """Mean relative improvement over random weights in percent; `tasks` is `all`, `few` or `many` (by class size)."""

    def of_seed(evidence: Evidence, seed: int) -> float | None:
        values = [
            value
            for task, value in _improvements(evidence, seed, kind, initialization, metric)
            if _is_in_group(evidence, task, tasks)
        ]
        return fmean(values) if values else None

    return of_seed


def least_improvement(kind: Kind, initialization: str, metric: str) -> PerSeed:
    """The smallest relative improvement of any task, in percent."""

    def of_seed(evidence: Evidence, seed: int) -> float | None:
        return min((value for _, value in _improvements(evidence, seed, kind, initialization, metric)), default=None)

    return of_seed


def excess(kind: Kind, initialization: str, other: str, metric: str) -> PerSeed:
    """Improvement in `metric` beyond that in standard accuracy: of one starting point minus of another, in points."""
    parts = [
        improvement(kind, start, name) for start in (initialization, other) for name in (metric, STANDARD_ACCURACY)
    ]

    def of_seed(evidence: Evidence, seed: int) -> float | None:
        values = [part(evidence, seed) for part in parts]
        if None in values:
            return None
        first, first_accuracy, second, second_accuracy = (value or 0.0 for value in values)
        return (first - first_accuracy) - (second - second_accuracy)

    return of_seed


def difference(kind: Kind, initialization: str, other: str, metric: str) -> PerSeed:
    """The mean over tasks of the difference between two starting points, in the metric's unit."""

    def of_seed(evidence: Evidence, seed: int) -> float | None:
        cells = evidence.table(kind, seed).cells
        shared = [task for task, start in cells if start == initialization and (task, other) in cells]
        return fmean(cells[t, initialization][metric] - cells[t, other][metric] for t in shared) if shared else None

    return of_seed


def pretrained_metric(start: str, read: Reader, combine: Callable[[dict[str, float]], float | None]) -> PerSeed:
    """The number that `combine` makes of the readings of a pre-trained network."""

    def of_seed(evidence: Evidence, seed: int) -> float | None:
        values = _of_seed(evidence.pretrained(read).get(start, {}), seed)
        return combine(values) if values else None

    return of_seed


def fine_tuned_contrast(
    read: Reader,
    metric: str,
    this: tuple[Role, str, str],
    that: tuple[Role, str, str],
    combine: Callable[[float, float], float],
) -> PerSeed:
    """The mean over tasks of `combine` applied to two ways of fine-tuning.

    Args:
        read: The readings of one run.
        metric: The reading to compare.
        this: Role, method and starting point of the first way.
        that: Role, method and starting point of the second way.
        combine: The number for one task from the readings of `this` and `that`.
    """

    def of_seed(evidence: Evidence, seed: int) -> float | None:
        first, second = (dict(_by_target(evidence, read, metric, way, seed)) for way in (this, that))
        shared = first.keys() & second.keys()
        return fmean(combine(first[target], second[target]) for target in sorted(shared)) if shared else None

    return of_seed


def fine_tuned_metric(read: Reader, metric: str, way: tuple[Role, str, str], *, above_chance: bool = False) -> PerSeed:
    """The mean over tasks of one way of fine-tuning, in percent; `above_chance` subtracts the accuracy of guessing."""

    def of_seed(evidence: Evidence, seed: int) -> float | None:
        values = [
            value - (100 / _num_classes(evidence, target) if above_chance else 0)
            for target, value in _by_target(evidence, read, metric, way, seed)
        ]
        return fmean(values) if values else None

    return of_seed


def train_seconds_ratio(start: str, other: str) -> PerSeed:
    """Training time per image and epoch of one pre-trained network, divided by that of another."""

    def of_seed(evidence: Evidence, seed: int) -> float | None:
        seconds = {
            run.starting_point: result.seconds.train
            / run.recipe.num_epochs(result.num_train_images)
            / result.num_train_images
            for run, result in evidence.finished
            if run.role is None and run.seed == seed and not result.was_resumed
        }
        return seconds[start] / seconds[other] if start in seconds and other in seconds else None

    return of_seed


def _improvements(
    evidence: Evidence, seed: int, kind: Kind, initialization: str, metric: str
) -> Iterator[tuple[str, float]]:
    table = evidence.table(kind, seed)
    tasks = table.tasks_of(initialization)
    if tasks:
        yield from zip(tasks, relative_improvements(table, initialization, metric).tolist(), strict=True)


def _is_in_group(evidence: Evidence, task: str, group: str) -> bool:
    images = evidence.images_per_class(task)
    return group == "all" or (images <= FEW if group == "few" else images >= MANY)


def _by_target(
    evidence: Evidence, read: Reader, metric: str, way: tuple[Role, str, str], seed: int
) -> Iterator[tuple[str, float]]:
    role, method, start = way
    cells: dict[Key, dict[str, Cell]] = evidence.cells(role, read)
    for (target, *rest), by_metric in cells.items():
        if rest == [method, start] and metric in by_metric and seed in by_metric[metric].by_seed:
            yield target, by_metric[metric].by_seed[seed].value


def _of_seed(cells: dict[str, Cell], seed: int) -> dict[str, float]:
    return {name: cell.by_seed[seed].value for name, cell in cells.items() if seed in cell.by_seed}


def _num_classes(evidence: Evidence, target: str) -> int:
    return next(result.num_classes for run, result in evidence.finished if run.target == target)
