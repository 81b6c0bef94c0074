"""The same question meets the same noise as long as the cache remembers it."""

from serving.service.answer_cache import AnswerCache


def test_a_question_keeps_its_noise_and_its_answer():
    cache = AnswerCache(2)
    cache.entry("a").result = "answer"
    assert cache.entry("a").result == "answer" and cache.entry("a").key == cache.entry("a").key
    assert cache.entry("b").key != cache.entry("a").key and cache.entry("b").result is None


def test_the_question_that_was_not_asked_for_the_longest_time_makes_room():
    cache = AnswerCache(2)
    keys = {question: cache.entry(question).key for question in "ab"}
    cache.entry("a")
    cache.entry("c")
    assert cache.entry("a").key == keys["a"] and cache.entry("b").key != keys["b"]
