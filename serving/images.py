"""Request bytes -> picture. The header is read first; nothing larger than the cap is decoded."""

from __future__ import annotations

import io
import warnings

from PIL import Image, UnidentifiedImageError

from zoo.errors import ImageError
from zoo.preprocessing import require_8_bits

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")


def decode_image(data: bytes, *, max_pixels: int) -> Image.Image:
    """The picture in `data`, decoded; of an animation the first frame.

    Raises: ImageError with status 400 (empty), 413 (more than `max_pixels`), 415 (no image, or more than 8 bits a
    channel) or 422 (truncated or damaged).
    """
    if not data:
        raise ImageError("the image is empty: send the bytes of a JPEG, PNG or other picture", http_status=400)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own cap comes below
            image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise _too_large(max_pixels) from error
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise ImageError(f"the body is no image of the formats {', '.join(FORMATS)}", http_status=415) from error
    if image.width * image.height > max_pixels:
        raise _too_large(max_pixels)
    try:
        image.load()
    except Exception as error:  # Pillow's decoders raise whatever damaged bytes lead them to
        raise ImageError("the image is truncated or damaged", http_status=422) from error
    require_8_bits(image)
    return image


def _too_large(max_pixels: int) -> ImageError:
    return ImageError(f"the image has more than {max_pixels:,} pixels, the cap of this server", http_status=413)
