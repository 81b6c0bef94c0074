"""The numbers of one run that the pictures study reports, among them means over classes."""

from __future__ import annotations

from training.study.evidence import ACR, ROBUST_ACCURACY, Reading, Readings
from training.study.long_table import STANDARD_ACCURACY
from training.study.result import RunResult
from training.study.statistics import Interval
from training.study.study_file import CERTIFIED_RADIUS
from zoo.models.measurements import CertificationResult, CertifiedAccuracy
from zoo.results.balanced_accuracy import mean_per_class

MEAN_ACCURACY, MEAN_ROBUST = "mean_per_class_accuracy", "mean_per_class_robust_accuracy"
CERTIFIED, MEAN_CERTIFIED = "certified_accuracy", "mean_per_class_certified_accuracy"


def base_classifier(result: RunResult) -> Readings:
    """Accuracies of the base classifier in percent; empty if its last layer is untrained."""
    measured = result.empirical
    if measured is None:
        return {}
    shares: dict[str, tuple[float | None, Interval | None]] = {
        STANDARD_ACCURACY: (measured.standard_accuracy, measured.standard_accuracy_interval),
        MEAN_ACCURACY: (measured.mean_per_class_accuracy, None),
        ROBUST_ACCURACY: (measured.robust_accuracy, measured.robust_accuracy_interval),
        MEAN_ROBUST: (measured.mean_per_class_robust_accuracy, None),
    }
    return {name: _percent(share, interval) for name, (share, interval) in shares.items() if share is not None}


def smoothed_classifier(result: RunResult) -> Readings:
    """The smoothed classifier at the largest certified sigma: accuracies in percent, and ACR.

    Certified accuracies are at the study's certified radius. Empty if the run certifies nothing, or did not record the
    images of each class.
    """
    measured = largest_sigma(result)
    if measured is None or measured.standard_accuracy is None or measured.average_certified_radius is None:
        return {}
    radius, counts = certified_radius(result), measured.classes
    if counts is None:
        return {}
    by_class = mean_per_class(counts, [point.radius for point in measured.certified_accuracy])
    overall, balanced = _at(radius, measured.certified_accuracy), _at(radius, by_class)
    readings = {
        STANDARD_ACCURACY: _percent(measured.standard_accuracy, measured.standard_accuracy_interval),
        CERTIFIED: _percent(overall.accuracy, (overall.low, overall.high)),
        MEAN_CERTIFIED: _percent(balanced.accuracy, (balanced.low, balanced.high)),
        ACR: Reading(measured.average_certified_radius, measured.average_certified_radius_interval),
    }
    clean = next((point for point in by_class if point.radius == 0), None)
    if clean is not None:
        readings[MEAN_ACCURACY] = _percent(clean.accuracy, (clean.low, clean.high))
    return readings


def largest_sigma(result: RunResult) -> CertificationResult | None:
    """The certification at the largest sigma; None if the run certifies nothing."""
    return max(result.certifications, key=lambda certification: certification.sigma, default=None)


def certified_radius(result: RunResult) -> float:
    """The radius of the run's certified accuracy, on the [0, 1] pixel scale."""
    return float(result.request["evaluation"].get("certified_radius", CERTIFIED_RADIUS))


def _at(radius: float, points: tuple[CertifiedAccuracy, ...]) -> CertifiedAccuracy:
    return next(point for point in points if point.radius == radius)


def _percent(share: float, interval: Interval | None) -> Reading:
    return Reading(100 * share, None if interval is None else (100 * interval[0], 100 * interval[1]))
