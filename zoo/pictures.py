"""An image file as a picture."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from zoo.errors import ImageError


def read_picture(path: str | Path) -> Image.Image:
    """The picture in a file, decoded; of an animation the first frame. Raises: ImageError."""
    try:
        image = Image.open(path)
        image.load()
    except Exception as error:  # Pillow's decoders raise whatever damaged bytes lead them to
        raise ImageError(f"{path} cannot be read as a picture: {error}") from error
    return image
