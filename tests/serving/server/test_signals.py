"""Signals raised in this process, as a terminal, a supervisor or a user would send them."""

import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from serving.server.signals import TERMINATION_SIGNALS, deferring_signals, ignoring_signals, interrupting_signals


@pytest.fixture(autouse=True)
def default_handlers():
    """Those of a program in the foreground, restored after."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in TERMINATION_SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def handlers():
    return [signal.getsignal(number) for number in TERMINATION_SIGNALS]


@pytest.mark.parametrize("number", TERMINATION_SIGNALS)
def test_each_interrupts_until_it_is_ignored(number):
    with interrupting_signals() as ignore_further_signals:
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
        ignore_further_signals()
        signal.raise_signal(number)
    assert handlers() == [signal.SIG_DFL] * 4


def test_a_signal_that_nohup_has_ignored_stays_ignored():
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with interrupting_signals():
        signal.raise_signal(signal.SIGHUP)
        with deferring_signals():
            signal.raise_signal(signal.SIGHUP)


@pytest.mark.parametrize("number", TERMINATION_SIGNALS)
def test_each_is_ignored_and_interrupts_again_after(number):
    with interrupting_signals():
        with ignoring_signals():
            signal.raise_signal(number)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)


@pytest.mark.parametrize("number", TERMINATION_SIGNALS)
def test_each_is_deferred_to_the_end(number):
    reached = []
    with interrupting_signals(), pytest.raises(KeyboardInterrupt):
        with deferring_signals():
            signal.raise_signal(number)
            reached.append(number)
        pytest.fail("it must take effect before")
    assert reached == [number]


def test_another_thread_arranges_nothing_and_fails_at_nothing():
    def enter():
        with ignoring_signals(), deferring_signals():
            return handlers()

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(enter).result() == [signal.SIG_DFL] * 4
