"""Some classes of a task: their pictures, renumbered in the order given, under a name that says so."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.tasks import open_task
from training.tasks.subsets import class_subset, limit_per_class
from training.tasks.task import ArrayImages, Task
from zoo.errors import TaskError, UnknownNameError
from zoo.models.spec import Preprocessing

NAMES = ("cat", "dog", "1", "owl")  # a class that is called by another's number


def task_with(labels):
    """Picture i is i gray levels dark."""
    images = ArrayImages(np.arange(len(labels), dtype=np.uint8)[:, None, None].repeat(2, 1).repeat(2, 2), labels)
    return Task(
        name="t", class_names=NAMES, preprocessing=Preprocessing(resize=2, crop=2), augmentation="none",
        train=images, test=images, split={"rule": "none"}, digest="d",
    )  # fmt: skip


@given(st.lists(st.integers(0, 3), min_size=1, max_size=40), st.permutations(range(4)), st.integers(2, 4))
def test_the_pictures_of_the_classes_stay_in_order_and_are_renumbered_as_asked(labels, order, count):
    kept = order[:count]
    task = task_with(labels)
    subset = class_subset(task, [NAMES[number] for number in kept])
    assert subset.class_names == tuple(NAMES[number] for number in kept)
    for part in (subset.train, subset.test):
        places = [index for index, label in enumerate(labels) if label in kept]
        assert [int(np.asarray(part[place])[0, 0]) for place in range(len(part))] == places
        assert [kept[label] for label in part.labels] == [labels[place] for place in places]


def test_the_selection_is_in_name_split_and_digest():
    task = task_with([0, 1, 2, 3])
    subset = class_subset(task, ["owl", "0"])
    assert (subset.name, subset.class_names) == ("t#3,0", ("owl", "cat"))
    assert subset.split == {"rule": "none", "class_subset": [3, 0]}
    assert len({task.digest, subset.digest, class_subset(task, ["0", "3"]).digest}) == 3
    assert class_subset(task, ["3", "cat"]).digest == subset.digest


def test_a_name_goes_before_a_number():
    assert class_subset(task_with([0, 1, 2, 3]), ["0", "1"]).class_names == ("cat", "1")


def test_few_labels_of_some_classes():
    limited = limit_per_class(class_subset(task_with([0, 3] * 9), ["3", "0"]), 4, seed=0)
    assert sorted(limited.train.labels) == [0] * 4 + [1] * 4 and len(limited.test) == 18


def test_a_task_is_opened_with_its_classes(tmp_path):
    task = open_task("digits#7,1", data_dir=tmp_path)
    assert (task.name, task.class_names) == ("digits#7,1", ("7", "1"))
    assert set(task.train.labels) == set(task.test.labels) == {0, 1} and 60 < len(task.test) < 90


@pytest.mark.parametrize(
    ("name", "kind", "said"),
    [
        ("digits#3,x", UnknownNameError, "unknown class of digits, by name or number, 'x'; known: 0, 1"),
        ("digits#3,10", UnknownNameError, "'10'"),
        ("digits#3", TaskError, "digits# takes at least two classes, each once, got '3'"),
        ("digits#3,4,3", TaskError, "each once, got '3,4,3'"),
        ("digits#", TaskError, "digits# takes class names or numbers separated by commas, got ''"),
        ("digits#3,,4", TaskError, "got '3,,4'"),
        ("digts#3,4", UnknownNameError, "unknown task 'digts'"),
    ],
)
def test_a_selection_that_cannot_be_is_refused_in_one_sentence(name, kind, said, tmp_path):
    with pytest.raises(kind) as refused:
        open_task(name, data_dir=tmp_path)
    assert said in str(refused.value)
