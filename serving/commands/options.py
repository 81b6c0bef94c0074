"""Options of the operator that several commands share, and the limits that they make."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from serving.protocol import Limits

DefaultN = Annotated[int, typer.Option("--n", min=1, help="Draws of a certification that asks for no other number.")]
MaxN = Annotated[int, typer.Option("--max-n", min=1, help="Most draws a request may ask for.")]
MaxPixels = Annotated[int, typer.Option("--max-pixels", min=1, help="Most pixels an image may have.")]


def limits_from(n: int, max_n: int, max_pixels: int) -> Limits:
    """The limits that the options ask for. Raises: RequestError if they contradict each other."""
    from pydantic import ValidationError

    from serving.protocol import Limits
    from zoo.errors import RequestError

    try:
        return Limits(n=n, max_n=max_n, max_pixels=max_pixels)
    except ValidationError as error:
        raise RequestError(error.errors()[0]["msg"].removeprefix("Value error, ")) from error
