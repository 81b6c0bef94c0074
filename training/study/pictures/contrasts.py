"""Estimates of the pictures study: means over pairs of a target and a seed, with Student's interval over the pairs.

The two networks of a difference have the same target, seed, labelled images and measured images. Targets of one data
set share their test images, and starting points may be shared by all seeds, so the pairs are not independent and the
intervals are somewhat too narrow.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import fmean

from training.study.claim import Estimate
from training.study.evidence import Evidence, Readings
from training.study.result import RunResult
from training.study.statistics import mean_interval

Read = Callable[[RunResult], Readings]
Way = tuple[str, str]
"""Method and starting point."""
Estimator = Callable[[Evidence], Estimate | None]


def difference(read: Read, metric: str, this: Way, that: Way, *, targets: Sequence[str], share: float = 1) -> Estimator:
    """The mean of `metric` of `this` minus `share` times that of `that`, over the pairs that have both.

    Args:
        read: The readings of one run.
        metric: The reading to compare, in percent or a radius.
        this: The first way to a network.
        that: The second way.
        targets: The targets that count.
        share: The factor of the second reading.
    """

    def measure(evidence: Evidence) -> Estimate | None:
        first, second = (_by_pair(evidence, read, metric, way, targets) for way in (this, that))
        return _mean([first[pair] - share * second[pair] for pair in first if pair in second])

    return measure


def above_chance(read: Read, metric: str, way: Way, *, targets: Sequence[str]) -> Estimator:
    """The mean of `metric` in percent over the pairs, minus the mean per class of a constant classifier."""

    def measure(evidence: Evidence) -> Estimate | None:
        values = _by_pair(evidence, read, metric, way, targets)
        return _mean([value - 100 / _num_classes(evidence, target) for (target, _), value in values.items()])

    return measure


def _mean(values: list[float]) -> Estimate | None:
    return Estimate(fmean(values), mean_interval(values)) if values else None


def _by_pair(
    evidence: Evidence, read: Read, metric: str, way: Way, targets: Sequence[str]
) -> dict[tuple[str, int], float]:
    """The readings by target and seed."""
    networks = evidence.networks(read)
    return {
        (target, seed): reading.value
        for target in targets
        if metric in (cells := networks.get((target, *way), {}))
        for seed, reading in cells[metric].by_seed.items()
    }


def _num_classes(evidence: Evidence, target: str) -> int:
    return next(result.num_classes for run, result in evidence.finished if run.target == target)
