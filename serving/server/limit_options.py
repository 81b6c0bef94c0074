"""The operator's limits, as the options of a command line give them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from serving.protocol import Limits


def limits_from(n: int, max_n: int, max_pixels: int, others: Sequence[str] = ()) -> Limits:
    """The limits that the options specify; `others` are texts NAME=VALUE.

    Raises: RequestError if a limit is unknown or invalid, or if limits contradict each other.
    """
    from pydantic import ValidationError

    from serving.protocol import Limits
    from zoo.errors import RequestError, UnknownNameError

    values: dict[str, object] = {"n": n, "max_n": max_n, "max_pixels": max_pixels}
    for text in others:
        name, equals, value = text.partition("=")
        if not equals:
            raise RequestError(f"--limit takes NAME=VALUE, got {text!r}")
        if name not in Limits.model_fields:
            raise UnknownNameError("limit", name, Limits.model_fields)
        values[name] = value
    try:
        return Limits.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        place = "".join(f"--limit {name}={values[str(name)]}: " for name in first["loc"])
        raise RequestError(place + first["msg"].removeprefix("Value error, ")) from error
