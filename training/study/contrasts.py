"""Numbers that claims are decided by: each of one seed, then its mean and Student's interval over seeds.

Seeds are paired: seed s fine-tunes from the network that seed s pre-trained, with the same few labels for every
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
"""Images a class of under-represented tasks at most (the paper's Flowers, Caltech-101 and Pets), and of
well-represented ones at least (its CIFAR-100, Food and CIFAR-10)."""

PerSeed = Callable[[Evidence, int], float | None]
Estimator = Callable[[Evidence], Estimate | None]
Reader = Callable[[RunResult], Readings]


def mean_over_seeds(of_seed: PerSeed) -> Estimator:
    """The mean over the seeds that have the number."""

    def measure(evidence: Evidence) -> Estimate | None:
        values = [value for seed in evidence.seeds if (value := of_seed(evidence, seed)) is not None]
        return Estimate(fmean(values), mean_interval(values)) if values else None

    return measure


def r_squared(kind: Kind, initialization: str, metric: str) -> Estimator:
    """R^2 of improvements in `metric` against those in standard accuracy, with its interval over tasks."""

    def measure(evidence: Evidence) -> Estimate | None:
        table = evidence.table(kind)
        if not table.tasks_of(initialization):
            return None
        x, y = (relative_improvements(table, initialization, name) for name in (STANDARD_ACCURACY, metric))
        fit = fit_line(x, y)
        return None if fit is None else Estimate(fit.r_squared, fit.r_squared_interval)

    return measure


def improvement(kind: Kind, initialization: str, metric: str, *, tasks: str = "all") -> PerSeed:
    """Mean relative improvement over random weights in percent, over all tasks, or those of `few` or `many` images."""

    def of_seed(evidence: Evidence, seed: int) -> float | None:
        values = [
            value
            for task, value in _improvements(evidence, seed, kind, initialization, metric)
            if _is(evidence, task, tasks)
        ]
        return fmean(values) if values else None

    return of_seed


def least_improvement(kind: Kind, initialization: str, metric: str) -> PerSeed:
    """The smallest relative improvement of any task, in percent."""

    def of_seed(evidence: Evidence, seed: int) -> float | None:
        return min((value for _, value in _improvements(evidence, seed, kind, initialization, metric)), default=None)

    return of_seed


def excess(kind: Kind, initialization: str, other: str, metric: str) -> PerSeed:
    """By how many points more than standard accuracy `metric` improves, from one starting point less from another."""
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
    """A number made of what was read of a network that others start from."""

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
    """Two ways of fine-tuning, each a role, method and starting point: the mean over the tasks of both."""

    def of_seed(evidence: Evidence, seed: int) -> float | None:
        first, second = (dict(_by_target(evidence, read, metric, way, seed)) for way in (this, that))
        shared = first.keys() & second.keys()
        return fmean(combine(first[target], second[target]) for target in sorted(shared)) if shared else None

    return of_seed


def fine_tuned_metric(read: Reader, metric: str, way: tuple[Role, str, str], *, above_chance: bool = False) -> PerSeed:
    """The mean over tasks of one way of fine-tuning, or of what it has above guessing, in percent."""

    def of_seed(evidence: Evidence, seed: int) -> float | None:
        values = [
            value - (100 / _num_classes(evidence, target) if above_chance else 0)
            for target, value in _by_target(evidence, read, metric, way, seed)
        ]
        return fmean(values) if values else None

    return of_seed


def train_seconds_ratio(start: str, other: str) -> PerSeed:
    """Training time of one network that others start from, over another's of as many images and epochs."""

    def of_seed(evidence: Evidence, seed: int) -> float | None:
        seconds = {
            run.starting_point: result.seconds.train / run.recipe.epochs / result.num_train_images
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


def _is(evidence: Evidence, task: str, tasks: str) -> bool:
    images = evidence.images_per_class(task)
    return tasks == "all" or (images <= FEW if tasks == "few" else images >= MANY)


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
