"""The policy of all retries, and the loop that follows it for downloads."""

import email.utils
import math
import time

import pytest

from zoo.download.retry import Retrier, RetryPolicy, TransientFailure, parse_retry_after
from zoo.errors import RequestError


def wait(policy, retry, *, retry_after=None, chance=0.0, elapsed=0.0):
    return policy.wait(retry, retry_after=retry_after, chance=chance, elapsed=elapsed)


def test_waits_double_to_their_cap_and_end_with_the_retries():
    policy = RetryPolicy(initial_backoff=1.0, max_backoff=4.0)
    assert [wait(policy, retry) for retry in (1, 2, 3, 4, 5)] == [1.0, 2.0, 4.0, 4.0, None]


def test_jitter_shortens_a_backoff_and_never_the_wait_that_the_server_asks_for():
    policy = RetryPolicy(initial_backoff=1.0, max_backoff=4.0)
    assert wait(policy, 3, chance=0.5) == 3.0
    assert [wait(policy, 1, retry_after=9.0, chance=chance) for chance in (0.0, 0.5)] == [9.0, 9.25]


def test_a_wait_beyond_the_longest_or_beyond_the_time_left_is_none():
    policy = RetryPolicy(initial_backoff=1.0, max_wait=60.0, max_elapsed=100.0)
    assert [wait(policy, 1, retry_after=seconds) for seconds in (60.0, 60.1)] == [60.0, None]
    assert [wait(policy, 1, elapsed=elapsed) for elapsed in (99.0, 99.1)] == [1.0, None]


@pytest.mark.parametrize(
    "field",
    [{"max_retries": -1}, {"initial_backoff": -0.1}, {"max_wait": -1.0}, {"jitter": 1.1}, {"max_elapsed": math.nan}],
)
def test_a_value_out_of_range_is_refused(field):
    with pytest.raises(RequestError, match="a retry policy needs numbers of at least 0"):
        RetryPolicy(**field)


def failing(times, error):
    """A function that fails so many times, then returns how often it was called."""
    calls = []

    def call():
        calls.append(None)
        if len(calls) <= times:
            raise error
        return len(calls)

    return call


def transient(error):
    return TransientFailure(reason=str(error)) if isinstance(error, OSError) else None


def test_a_transient_failure_is_retried_and_every_wait_reported():
    waits, lines = [], []
    retrier = Retrier(sleep=waits.append, report=lines.append)
    assert retrier.call(failing(2, OSError("gone")), transient=transient) == 3
    assert waits == [1, 2] and lines == ["gone; retrying in 1 s (1 of 4)", "gone; retrying in 2 s (2 of 4)"]


@pytest.mark.parametrize(("error", "waits"), [(OSError("gone"), [1, 2, 4, 8]), (ValueError("wrong"), [])])
def test_the_last_failure_and_one_that_is_not_transient_are_raised(error, waits):
    waited = []
    with pytest.raises(type(error), match=str(error)):
        Retrier(sleep=waited.append).call(failing(9, error), transient=transient)
    assert waited == waits


def test_retry_after_is_a_number_of_seconds_or_a_date():
    assert [parse_retry_after(text) for text in ("7", " 0.5 ", "-3")] == [7.0, 0.5, 0.0]
    assert [parse_retry_after(text) for text in ("", "soon", "inf", "nan")] == [None] * 4
    assert 50 < parse_retry_after(email.utils.formatdate(time.time() + 60, usegmt=True)) <= 60
    assert parse_retry_after("Mon, 01 Jan 2001 00:00:00 GMT") == 0.0
