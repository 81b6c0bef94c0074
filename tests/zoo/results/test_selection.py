"""The images of a result: evenly spaced, or a sample that anybody can draw again."""

from collections import Counter

import pytest

from zoo.errors import RequestError
from zoo.results.selection import Selection

SORTED = [0] * 50 + [1] * 30 + [2] * 15 + [3] * 5


def test_images_are_chosen_as_cohens_skip_and_max_do():
    assert Selection(skip=3).of(range(10)) == [0, 3, 6, 9]
    assert Selection(skip=3, maximum=6).of(range(10)) == [0, 3]
    assert Selection(maximum=100).of(range(4)) == [0, 1, 2, 3]


def test_a_stratified_sample_of_a_sorted_set_shows_every_class_in_proportion():
    for seed in range(5):
        chosen = Selection(sample="stratified", num_images=20, seed=seed).of(SORTED)
        assert len(set(chosen)) == 20 and chosen == sorted(chosen)
        assert Counter(SORTED[index] for index in chosen) == {0: 10, 1: 6, 2: 3, 3: 1}
    few = Selection(sample="stratified", num_images=4).of(SORTED)
    assert {SORTED[index] for index in few} == {0, 1, 2, 3}


@pytest.mark.parametrize("sample", ["stratified", "random"])
def test_a_smaller_sample_is_part_of_a_larger_one_and_another_seed_draws_another(sample):
    small, large, whole = (set(Selection(sample=sample, num_images=n).of(SORTED)) for n in (7, 40, 100))
    assert small < large < whole == set(range(100))
    assert large != set(Selection(sample=sample, num_images=40, seed=1).of(SORTED))


def test_a_random_sample_gives_every_image_the_same_chance():
    counts = Counter(i for seed in range(300) for i in Selection(sample="random", num_images=10, seed=seed).of(SORTED))
    assert set(counts) == set(range(100)) and max(counts.values()) < 60  # 30 expected, standard deviation 5.2


def test_the_sample_of_a_seed_never_changes():
    """Cards name the sample by its rule, so that a later version selects the same images."""
    assert Selection(sample="random", num_images=5, seed=3).of(SORTED) == [9, 53, 80, 83, 90]
    assert Selection(sample="stratified", num_images=5, seed=3).of(SORTED) == [9, 16, 53, 90, 97]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"sample": "random"}, "a random sample needs its number of images: give --images K"),
        ({"sample": "random", "num_images": 5, "skip": 2}, "give one of both"),
        ({"sample": "stratified", "num_images": 5, "maximum": 9}, "give one of both"),
        ({"num_images": 5}, "need a kind of sample"),
    ],
)
def test_rules_that_contradict_each_other_are_refused(fields, said):
    with pytest.raises(RequestError, match=said):
        Selection(**fields)


def test_a_sample_larger_than_the_test_set_is_refused():
    with pytest.raises(RequestError, match="--images 101 is more than the 100 images of the test set"):
        Selection(sample="random", num_images=101).of(SORTED)
