"""A setting of the whole process is changed while anybody needs it, and is the host program's again afterwards."""

import threading
import warnings
from contextlib import contextmanager

import pytest

from zoo.host.loaned_setting import WARNINGS_IGNORED, LoanedChoice, LoanedSetting


@pytest.fixture
def setting():
    """A setting whose host value is "host", as a dictionary, and its change to "ours"."""
    state = {"value": "host"}

    @contextmanager
    def change():
        before, state["value"] = state["value"], "ours"
        try:
            yield
        finally:
            state["value"] = before

    return state, LoanedSetting(change)


def test_it_is_changed_inside_and_restored_after_also_when_the_call_fails(setting):
    state, loan = setting

    @loan
    def fail():
        assert state["value"] == "ours"
        raise ValueError("on purpose")

    for _ in range(2):
        with pytest.raises(ValueError, match="on purpose"):
            fail()
        assert state["value"] == "host"


def test_of_threads_that_overlap_the_last_one_restores_it(setting):
    state, loan = setting
    first_is_in, second_is_in = threading.Event(), threading.Event()

    def first():
        with loan:
            first_is_in.set()
            assert second_is_in.wait(10)

    thread = threading.Thread(target=first)
    thread.start()
    assert first_is_in.wait(10)
    with loan:
        second_is_in.set()
        thread.join()
        assert state["value"] == "ours"  # the first to come has left
    assert state["value"] == "host"


@pytest.fixture
def choice():
    """A setting whose host value is "host", as a dictionary, and its loan with several values."""
    state = {"value": "host", "changes": 0}

    @contextmanager
    def change(value):
        before, state["value"] = state["value"], value
        state["changes"] += 1
        try:
            yield
        finally:
            state["value"] = before

    return state, LoanedChoice(change)


def test_an_inner_value_replaces_the_outer_one_which_returns(choice):
    state, loan = choice
    with loan.holding("a"):
        with pytest.raises(ValueError, match="on purpose"), loan.holding("b"):
            assert state["value"] == "b"
            raise ValueError("on purpose")
        with loan.holding("a"):
            assert state == {"value": "a", "changes": 3}  # the same value again changes nothing
        assert state["value"] == "a"
    assert state["value"] == "host"


def test_threads_with_other_values_take_turns_also_in_inner_blocks(choice):
    state, loan = choice
    together, seen = threading.Barrier(2, timeout=10), []

    def work(inner):
        with loan.holding("outer"):
            together.wait()  # both are inside, so neither inner value can be had before an outer one is given back
            for _ in range(200):
                with loan.holding(inner):
                    seen.append(state["value"] == inner)
                seen.append(state["value"] == "outer")

    threads = [threading.Thread(target=work, args=(inner,)) for inner in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert all(seen) and len(seen) == 800 and state["value"] == "host"


def test_ignored_warnings_are_heard_again():
    filters = list(warnings.filters)
    with WARNINGS_IGNORED, WARNINGS_IGNORED:
        warnings.warn("nobody hears this", stacklevel=1)
    assert warnings.filters == filters
    with pytest.raises(UserWarning, match="all hear this"):
        warnings.warn("all hear this", stacklevel=1)
