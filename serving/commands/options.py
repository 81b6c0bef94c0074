"""Options of the operator that several commands share, and the limits that they make."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from serving.protocol import Limits

DefaultN = Annotated[int, typer.Option("--n", min=1, help="Draws of a certification that asks for no other number.")]
MaxN = Annotated[int, typer.Option("--max-n", min=1, help="Most draws a request may ask for.")]
MaxPixels = Annotated[int, typer.Option("--max-pixels", min=1, help="Most pixels an image may have.")]
Limit = Annotated[
    list[str] | None,
    typer.Option(
        "--limit",
        metavar="NAME=VALUE",
        help="Another limit or default of the model: n0, alpha, max_bytes, max_images, max_draws_per_request, "
        "max_open_requests, longest_deadline_ms, allows_seed, cached_answers. See docs/operations.md.",
    ),
]


def limits_from(n: int, max_n: int, max_pixels: int, others: Sequence[str] = ()) -> Limits:
    """The limits that the options ask for; `others` are texts NAME=VALUE.

    Raises: RequestError if one is unknown or wrong, or if they contradict each other.
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
