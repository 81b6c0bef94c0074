"""Mean per-class accuracy: its interval has the coverage it claims, also where classes are entirely right or wrong."""

import numpy as np
import pytest

from zoo.models.measurements import ClassCounts
from zoo.results.balanced_accuracy import (
    balanced_accuracy,
    balanced_accuracy_interval,
    is_told_from_chance,
    listed_classes,
    majority_baseline,
)

TOTALS = (4, 9, 2, 6, 3, 4)


def test_every_class_weighs_the_same_and_classes_without_images_nothing():
    assert balanced_accuracy([9, 0, 1], [10, 5, 2]) == pytest.approx((0.9 + 0.0 + 0.5) / 3)
    assert balanced_accuracy([9, 0], [10, 0]) == 0.9
    assert balanced_accuracy_interval([9, 0], [10, 0]) == balanced_accuracy_interval([9], [10])


def covered(probabilities, interval_of, *, num=1000):
    rng = np.random.default_rng(0)
    corrects = rng.binomial(TOTALS, probabilities, size=(num, len(TOTALS)))
    truth = float(np.mean(probabilities))
    intervals = {tuple(row): interval_of(row.tolist(), TOTALS) for row in np.unique(corrects, axis=0)}
    return np.mean([low <= truth <= high for low, high in (intervals[tuple(row)] for row in corrects)])


def wald(corrects, totals):
    p = np.divide(corrects, totals)
    half = 1.96 * np.sqrt((p * (1 - p) / totals).sum()) / len(totals)
    return p.mean() - half, p.mean() + half


@pytest.mark.parametrize(
    "probabilities", [(0.6,) * 6, (0.9,) * 6, (0.95, 0.05, 0.9, 0.1, 0.5, 0.5), (0.98, 0.0, 0.0, 0.02, 0.0, 0.0)]
)
def test_the_interval_covers_the_truth_as_often_as_it_claims(probabilities):
    assert covered(probabilities, balanced_accuracy_interval) > 0.93


def test_the_sum_of_estimated_variances_does_not():
    """The negative control: small classes of a good classifier are often entirely right."""
    assert covered((0.9,) * 6, wald) < 0.85


def test_a_constant_classifier_is_not_told_from_chance_and_a_good_one_is():
    constant = balanced_accuracy_interval([4, 0, 0, 0, 0, 0], TOTALS)
    assert constant[0] < 1 / 6 < constant[1] and not is_told_from_chance(constant, num_classes=6)
    assert is_told_from_chance(balanced_accuracy_interval([3, 7, 1, 5, 2, 3], TOTALS), num_classes=6)


def test_the_baseline_is_the_share_of_the_largest_class():
    assert majority_baseline([2, 1, 2, 0]) == (2, 0.5) and majority_baseline([1, 0]) == (0, 0.5)


def test_of_many_classes_the_lowest_are_listed():
    classes = [ClassCounts(label=k, num_images=30, num_certified=(30, 30 - k)) for k in range(25)]
    assert [counts.label for counts in listed_classes(classes, [0.0, 0.5])] == list(range(24, 14, -1))
    assert listed_classes(classes[:20], [0.0, 0.5]) == classes[:20]
