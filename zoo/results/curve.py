"""The certified-accuracy curve of one log, as the picture on a checkpoint's card."""

from __future__ import annotations

from io import BytesIO

import matplotlib
from PIL import Image, UnidentifiedImageError

from zoo.results.figure import curves_of
from zoo.results.log import parse_log


def curve_of(rows: bytes, *, name: str) -> bytes:
    """A PNG of certified accuracy over the radius, the same bytes for the same rows and the same libraries.

    Raises: LogError if the rows are no log, or an empty one.
    """
    figure = curves_of({name: parse_log(rows.decode(errors="replace"), source="certification.tsv")})
    picture = BytesIO()
    figure.savefig(picture, format="png", dpi=100, metadata={"Software": f"matplotlib {matplotlib.__version__}"})
    return picture.getvalue()


def drawn_by(picture: bytes) -> str | None:
    """The program and version that a PNG says it was drawn by; None if it does not, or is none."""
    try:
        said = Image.open(BytesIO(picture)).info.get("Software")
    except (UnidentifiedImageError, OSError, SyntaxError):  # what Pillow raises over damaged bytes
        return None
    return None if said is None else str(said)
