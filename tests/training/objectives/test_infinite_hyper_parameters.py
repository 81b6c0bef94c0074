"""No method takes an infinite hyper-parameter."""

import dataclasses
import math

import pytest

from training.objectives import OBJECTIVES
from zoo.errors import RecipeError

CASES = [
    pytest.param(kind, field.name, id=f"{name}-{field.name}")
    for name, kind in OBJECTIVES.items()
    for field in dataclasses.fields(kind)
    if isinstance(getattr(kind(), field.name), float)
]


@pytest.mark.parametrize(("kind", "field"), CASES)
def test_infinity_in_a_field_is_refused_by_its_name(kind, field):
    with pytest.raises(RecipeError, match=rf"\b{field} must be .*, got inf"):
        kind(**{field: math.inf})
