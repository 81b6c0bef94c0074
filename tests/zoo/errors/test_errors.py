"""An unknown name is answered with the known ones, and errors cross from one process to another."""

import pickle

import pytest

from zoo.errors import ImageError, OverloadError, RefusedError, UnknownNameError, WorkerLostError, ZooError


def test_an_unknown_name_lists_the_known_ones_and_suggests_the_closest():
    message = str(UnknownNameError("task", "digts", ["fashion-mnist", "digits"]))
    assert message == "unknown task 'digts'; known: digits, fashion-mnist. Did you mean 'digits'?"


def test_a_name_that_resembles_none_gets_no_suggestion():
    assert "Did you mean" not in str(UnknownNameError("task", "zzz", ["digits"]))


@pytest.mark.parametrize(
    "error",
    [
        OverloadError("full", retry_after=3),
        WorkerLostError("lost", retry_after=2),
        RefusedError("refused", http_status=413),
        ImageError("large", http_status=413),
        UnknownNameError("task", "digts", ["digits"]),
        ZooError("failed"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_arrives_in_another_process_with_its_message_and_its_attributes(error):
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), vars(copy)) == (type(error), str(error), vars(error))
