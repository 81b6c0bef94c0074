"""The certified-accuracy curve of one log, as the picture on a checkpoint's card."""

from __future__ import annotations

from io import BytesIO

from zoo.results.figure import curves_of
from zoo.results.log import parse_log


def curve_of(rows: bytes, *, name: str) -> bytes:
    """A PNG of certified accuracy over the radius, the same bytes for the same rows and the same matplotlib.

    Raises: LogError if the rows are no log, or an empty one.
    """
    figure = curves_of({name: parse_log(rows.decode(errors="replace"), source="certification.tsv")})
    picture = BytesIO()
    # Without the program's version, which matplotlib writes into every PNG, equal pictures are equal files.
    figure.savefig(picture, format="png", dpi=100, metadata={"Software": None})
    return picture.getvalue()
