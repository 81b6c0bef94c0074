"""Decodes a picture to an upright 8-bit RGB picture, in the same way for every way in.

Training, evaluation, certification, audits, studies, `zoo predict`, the server and the Python API use this module. One
picture is therefore one tensor everywhere, or is refused everywhere for the same reason. The header is read first; a
picture above a cap is not decoded.

| input                        | treatment                                                        |
| an EXIF orientation          | applied: the certificate is about the picture as viewers show it |
| transparency                 | composited over white                                            |
| more than 8 bits per channel | refused (415): conversion would silently cut off the low bits    |
| gray, 1 bit, palette         | converted to the same colours in RGB                             |
| CMYK                         | converted to RGB by Pillow's plain formula                       |
| colour profiles              | ignored                                                          |
| animations, several pages    | the first frame or page                                          |
| PPM as text or scaled        | refused (415): Pillow decodes it in Python, pixel by pixel       |
"""

from __future__ import annotations

import io
import re
from pathlib import Path

from PIL import Image, ImageFile

from zoo.errors import ImageError
from zoo.host.loaned_setting import WARNINGS_IGNORED

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
SUFFIXES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".pbm",
    ".pnm",
)  # fmt: skip
"""The ends of the names, in lower case, by which pictures are recognized in folders."""

# The caps of a picture, on every way in. A server's limits of a request may be lower, never higher.
MAX_PIXELS = 100_000_000
MAX_SIDE = 16_384  # decoding costs time per row, however few pixels a row has
MAX_SCANS = 100  # of a JPEG; a typical progressive one has ten; each scan costs a pass over the whole image

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
SLOW_CODECS = ("ppm", "ppm_plain")  # Pillow's decoders of a PPM with a maximum other than 255 and of one as text
JPEG_START, SCAN = b"\xff\xd8", b"\xff\xda"


def read_picture(path: str | Path) -> Image.Image:
    """The picture in a file in mode RGB, treated as in the table above. Raises: ImageError, which names the file."""
    try:
        return decode_image(Path(path).read_bytes())
    except OSError as error:
        raise ImageError(f"cannot read {path}: {error.strerror or error}") from error
    except ImageError as error:
        raise ImageError(f"{path}: {error}", http_status=error.http_status) from error


def decode_image(data: bytes, *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """The picture in `data` in mode RGB, treated as in the table above.

    Raises: ImageError with status 400 (empty), 413 (more than `max_pixels` or MAX_PIXELS, or a side above MAX_SIDE),
    415 (not an image, more than 8 bits per channel, a JPEG with too many scans, a slow PPM, or colours that cannot be
    converted to RGB) or 422 (truncated or damaged).
    """
    with WARNINGS_IGNORED:  # everything that Pillow warns about is either refused here or harmless
        return to_rgb(_opened(data, max_pixels), max_pixels=max_pixels)


def num_pixels(data: bytes, *, max_pixels: int = MAX_PIXELS) -> int:
    """The number of pixels that the header of the picture in `data` states. No pixel is decoded.

    Raises: ImageError, if `decode_image` refuses the picture because of its header.
    """
    with WARNINGS_IGNORED:
        image = _opened(data, max_pixels)
    _require_within_caps(image, max_pixels)
    _require_fast_8_bits(image)
    return image.width * image.height


def num_scans(data: bytes) -> int:
    """The number of passes over the picture that decoding takes: 1, or more for a progressive JPEG."""
    return max(1, data.count(SCAN)) if data.startswith(JPEG_START) else 1


def to_rgb(image: Image.Image, *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """A Pillow picture in mode RGB, treated as in the table above; `Image.open` need not have read its pixels yet.

    Raises: ImageError, as `decode_image` for the same picture.
    """
    _require_within_caps(image, max_pixels)
    _require_fast_8_bits(image)
    with WARNINGS_IGNORED:
        # Damaged bytes can make Pillow raise any exception.
        try:
            image.load()
            upright = _upright(image)
        except Exception as error:
            raise ImageError("the image is truncated or damaged", http_status=422) from error
        if upright.mode.startswith(("I", "F")):
            raise _too_deep()
        try:
            return _over_white(upright) if upright.has_transparency_data else upright.convert("RGB")
        except ValueError as error:
            message = f"the image's colour mode {image.mode} cannot be converted to RGB"
            raise ImageError(message, http_status=415) from error


def _opened(data: bytes, max_pixels: int) -> ImageFile.ImageFile:
    """The picture in `data` with its pixels still to be read."""
    if not data:
        raise ImageError("the image is empty: send the bytes of a JPEG, PNG or other image file", http_status=400)
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise _too_large(max_pixels) from error
    except Exception as error:
        raise ImageError(f"the data is not an image of the formats {', '.join(FORMATS)}", http_status=415) from error
    if num_scans(data) > MAX_SCANS:
        raise ImageError(f"the JPEG has more than {MAX_SCANS} scans, the maximum: save it with fewer", http_status=415)
    return image


def _require_within_caps(image: Image.Image, max_pixels: int) -> None:
    if image.width * image.height > min(max_pixels, MAX_PIXELS):
        raise _too_large(max_pixels)
    if max(image.size) > MAX_SIDE:
        raise ImageError(f"the image has a side of more than {MAX_SIDE:,} pixels, the maximum", http_status=413)


def _require_fast_8_bits(image: Image.Image) -> None:
    """Raises ImageError, before the pixels are read, for files that Pillow reduces to 8 bits or decodes in Python."""
    for codec, _, _, arguments in getattr(image, "tile", []):
        if SIXTEEN_BITS.search(str(arguments)):
            raise _too_deep()
        if codec in SLOW_CODECS:
            raise ImageError("a PPM must be binary with the maximum 255: save it again, or as PNG", http_status=415)


def _upright(image: Image.Image) -> Image.Image:
    transposition = UPRIGHT_BY.get(image.getexif().get(ORIENTATION, 1))
    return image if transposition is None else image.transpose(transposition)


def _over_white(image: Image.Image) -> Image.Image:
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


def _too_deep() -> ImageError:
    return ImageError("the image has more than 8 bits per channel: convert it to 8 bits first", http_status=415)


def _too_large(max_pixels: int) -> ImageError:
    return ImageError(
        f"the image has more than {min(max_pixels, MAX_PIXELS):,} pixels, the maximum here", http_status=413
    )
