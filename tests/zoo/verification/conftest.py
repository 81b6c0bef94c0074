"""The figures of the checkpoints that these tests verify."""

from functools import cache

import pytest

from tests.zoo.verification import forging
from zoo.results import figure

DRAWN = cache(figure.curve_png)


@pytest.fixture(autouse=True)
def pictures_are_drawn_once(monkeypatch):
    """Most copies have the same rows, and drawing them takes most of a verification's time."""
    for module in (figure, forging):
        monkeypatch.setattr(module, "curve_png", DRAWN)
