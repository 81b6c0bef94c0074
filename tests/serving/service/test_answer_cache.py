"""A repeatable answer's noise is a keyed hash of the question, whatever the cache remembers."""

import itertools

import torch

from serving.service.answer_cache import AnswerCache

SECRET, OTHER_SECRET = b"s" * 32, b"t" * 32
IMAGE = torch.arange(12.0).reshape(3, 2, 2) / 12


def new_cache(size=2, *, secret=SECRET, model_sha256="ab"):
    return AnswerCache(size, secret=secret, model_sha256=model_sha256)


def test_a_question_keeps_its_noise_and_its_answer():
    cache = new_cache()
    cache.entry(IMAGE, {"n": 10}).result = "answer"
    assert cache.entry(IMAGE, {"n": 10}).result == "answer" and cache.entry(IMAGE, {"n": 10}).repeats
    assert cache.entry(IMAGE, {"n": 11}).result is None


def test_an_evicted_question_loses_its_answer_and_keeps_its_noise():
    cache = new_cache()
    first = cache.entry(IMAGE, {"n": 1})
    first.result = "answer"
    for n in (2, 3):
        cache.entry(IMAGE, {"n": n})
    again = cache.entry(IMAGE, {"n": 1})
    assert again.result is None and again.key == first.key


def test_the_question_that_was_not_asked_for_the_longest_time_makes_room():
    cache = new_cache()
    for n in (1, 2):
        cache.entry(IMAGE, {"n": n}).result = n
    cache.entry(IMAGE, {"n": 1})
    cache.entry(IMAGE, {"n": 3})
    assert cache.entry(IMAGE, {"n": 1}).result == 1 and cache.entry(IMAGE, {"n": 2}).result is None


def test_caches_with_one_secret_agree_and_every_part_of_the_question_changes_the_noise():
    def key(image=IMAGE, parameters=None, **changes):
        return new_cache(**changes).entry(image, parameters or {"n": 10, "mode": "certify"}).key

    assert key() == key(parameters={"mode": "certify", "n": 10})
    changed = IMAGE.clone()
    changed[0, 0, 0] += 1 / 255
    keys = [
        key(),
        key(secret=OTHER_SECRET),
        key(model_sha256="cd"),
        key(image=changed),
        key(image=IMAGE.reshape(3, 1, 4)),
        key(parameters={"n": 11, "mode": "certify"}),
        key(parameters={"n": 10, "mode": "predict"}),
    ]
    assert all(first != second for first, second in itertools.combinations(keys, 2))
    assert all(key.root != key.job for key in keys)
