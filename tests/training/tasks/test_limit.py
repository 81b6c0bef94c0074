"""Few labels a class: as many as asked, nested, seeded, recorded; nothing is tested on less."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.tasks.subsets import limit_per_class
from training.tasks.task import ArrayImages, Task
from zoo.errors import TaskError
from zoo.models.spec import Preprocessing


def task_with(labels):
    """Picture i is i gray levels dark."""
    images = ArrayImages(np.arange(len(labels), dtype=np.uint8)[:, None, None].repeat(2, 1).repeat(2, 2), labels)
    return Task(
        name="t", class_names=tuple("abcd"), preprocessing=Preprocessing(resize=2, crop=2), augmentation="none",
        train=images, test=images, split={"rule": "none"}, digest="d",
    )  # fmt: skip


LABELS = st.lists(st.integers(0, 3), min_size=1, max_size=60)


def kept_by(task):
    return task.split["limit_per_class"]["kept"]


@given(LABELS, st.integers(1, 30), st.integers(0, 3))
def test_every_class_keeps_as_many_as_asked_or_all_it_has(labels, count, seed):
    task = task_with(labels)
    limited = limit_per_class(task, count, seed=seed)
    assert Counter(limited.train.labels) == {label: min(num, count) for label, num in Counter(labels).items()}
    assert limited.test is task.test
    assert [int(np.asarray(limited.train[place])[0, 0]) for place in range(len(limited.train))] == kept_by(limited)
    assert limited.train.labels == [labels[index] for index in kept_by(limited)]


@given(LABELS, st.integers(1, 10), st.integers(0, 10), st.integers(0, 3))
def test_the_pictures_at_a_smaller_count_are_among_those_at_a_larger(labels, count, more, seed):
    task = task_with(labels)
    small, large = (kept_by(limit_per_class(task, each, seed=seed)) for each in (count, count + more))
    assert set(small) <= set(large) and small == sorted(small)


def test_seed_and_count_are_recorded_and_make_other_data():
    task = task_with([0, 1] * 30)
    limited = {(count, seed): limit_per_class(task, count, seed=seed) for count in (3, 4) for seed in (0, 1)}
    assert len({each.digest for each in limited.values()} | {task.digest}) == 5
    assert kept_by(limited[3, 0]) != kept_by(limited[3, 1])
    record = limited[4, 1].split
    assert record["rule"] == "none" and record["limit_per_class"] == {
        "count": 4,
        "seed": 1,
        "kept": kept_by(limited[4, 1]),
    }
    assert limit_per_class(task, 3, seed=0).split == limited[3, 0].split


@pytest.mark.parametrize("count", [0, -1])
def test_a_limit_that_leaves_nothing_is_refused(count):
    with pytest.raises(TaskError, match=f"at least 1 image per class, got {count}"):
        limit_per_class(task_with([0, 1]), count, seed=0)
