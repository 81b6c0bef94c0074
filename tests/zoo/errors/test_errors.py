"""An unknown name is answered with the known ones."""

from zoo.errors import UnknownNameError


def test_an_unknown_name_lists_the_known_ones_and_suggests_the_closest():
    message = str(UnknownNameError("task", "digts", ["fashion-mnist", "digits"]))
    assert message == "unknown task 'digts'; known: digits, fashion-mnist. Did you mean 'digits'?"


def test_a_name_that_resembles_none_gets_no_suggestion():
    assert "Did you mean" not in str(UnknownNameError("task", "zzz", ["digits"]))
