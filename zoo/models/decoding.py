"""Decodes bytes to an upright 8-bit RGB picture, in the same way for HTTP and for files.

The header is read first; an image with more pixels than the maximum is not decoded.

| input                        | treatment                                                        |
| an EXIF orientation          | applied: the certificate is about the picture as viewers show it |
| transparency                 | composited over white                                            |
| more than 8 bits per channel | refused (415): conversion would silently cut off the low bits    |
| gray, 1 bit, palette         | converted to the same colours in RGB                             |
| CMYK                         | converted to RGB by Pillow's plain formula                       |
| colour profiles              | ignored, as in training                                          |
| animations, several pages    | the first frame or page                                          |
"""

from __future__ import annotations

import io
import re
from pathlib import Path

from PIL import Image, ImageFile

from zoo.errors import ImageError
from zoo.host import WARNINGS_IGNORED
from zoo.models.preprocessing import require_8_bits

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
ORIENTATION = 0x0112  # the EXIF tag
UPRIGHT_BY = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
SIXTEEN_BITS = re.compile(r";16[BLNRS]")  # in Pillow's names of raw modes; BGR;16 has 5 or 6 bits per channel
JPEG_START, SCAN = b"\xff\xd8", b"\xff\xda"
MAX_SCANS = 100  # a typical progressive JPEG has ten scans; each costs a pass over the whole image


MAX_PIXELS = 100_000_000
"""The maximum for local files."""


def read_picture(path: str | Path) -> Image.Image:
    """The picture in a file in mode RGB, treated as in the table above. Raises: ImageError, which names the file."""
    try:
        return decode_image(Path(path).read_bytes(), max_pixels=MAX_PIXELS)
    except OSError as error:
        raise ImageError(f"cannot read {path}: {error.strerror or error}") from error
    except ImageError as error:
        raise ImageError(f"{path}: {error}", http_status=error.http_status) from error


def decode_image(data: bytes, *, max_pixels: int) -> Image.Image:
    """The picture in `data` in mode RGB, treated as in the table above.

    Raises: ImageError with status 400 (empty), 413 (more than `max_pixels`), 415 (not an image, more than 8 bits per
    channel, a JPEG with too many scans, or colours that cannot be converted to RGB) or 422 (truncated or damaged).
    """
    if not data:
        raise ImageError("the image is empty: send the bytes of a JPEG, PNG or other image file", http_status=400)
    with WARNINGS_IGNORED:  # everything that Pillow warns about is either refused here or harmless
        return _decoded(data, max_pixels=max_pixels)


def _decoded(data: bytes, *, max_pixels: int) -> Image.Image:
    # Damaged bytes can make Pillow raise any exception.
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise _too_large(max_pixels) from error
    except Exception as error:
        raise ImageError(f"the data is not an image of the formats {', '.join(FORMATS)}", http_status=415) from error
    if image.width * image.height > max_pixels:
        raise _too_large(max_pixels)
    _require_8_bits_in_file(image)
    if data.startswith(JPEG_START) and data.count(SCAN) > MAX_SCANS:
        raise ImageError(f"the JPEG has more than {MAX_SCANS} scans, the maximum: save it with fewer", http_status=415)
    try:
        image.load()
        upright = _upright(image)
    except Exception as error:
        raise ImageError("the image is truncated or damaged", http_status=422) from error
    require_8_bits(upright)
    try:
        return _over_white(upright) if upright.has_transparency_data else upright.convert("RGB")
    except ValueError as error:
        raise ImageError(f"the image's colour mode {image.mode} cannot be converted to RGB", http_status=415) from error


def _require_8_bits_in_file(image: ImageFile.ImageFile) -> None:
    """Raises ImageError, before the pixels are read, for 16-bit files that Pillow would silently reduce to 8 bits."""
    if any(SIXTEEN_BITS.search(str(tile[3])) for tile in image.tile):
        raise ImageError("the image has more than 8 bits per channel: convert it to 8 bits first", http_status=415)


def _upright(image: Image.Image) -> Image.Image:
    transposition = UPRIGHT_BY.get(image.getexif().get(ORIENTATION, 1))
    return image if transposition is None else image.transpose(transposition)


def _over_white(image: Image.Image) -> Image.Image:
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


def _too_large(max_pixels: int) -> ImageError:
    return ImageError(f"the image has more than {max_pixels:,} pixels, the maximum here", http_status=413)
