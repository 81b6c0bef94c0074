"""Request bytes -> picture. The header is read first; nothing larger than the cap is decoded."""

from __future__ import annotations

import base64
import io
import warnings

import torch
from PIL import Image
from torch import Tensor

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
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what Pillow warns of is refused here, or harmless
        # Pillow's decoders raise whatever damaged bytes lead them to.
        try:
            image = Image.open(io.BytesIO(data), formats=FORMATS)
        except Image.DecompressionBombError as error:
            raise _too_large(max_pixels) from error
        except Exception as error:
            raise ImageError(f"the body is no image of the formats {', '.join(FORMATS)}", http_status=415) from error
        if image.width * image.height > max_pixels:
            raise _too_large(max_pixels)
        try:
            image.load()
        except Exception as error:
            raise ImageError("the image is truncated or damaged", http_status=422) from error
    require_8_bits(image)
    return image


def encode_copies(noisy_MCHW: Tensor) -> list[str]:
    """Noisy copies as PNG in base64, for the eye: clipped to [0, 1] and rounded to 8 bits."""
    pixels_MHWC = (noisy_MCHW.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    return [_png(Image.fromarray(pixels_HWC)) for pixels_HWC in pixels_MHWC]


def _png(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def _too_large(max_pixels: int) -> ImageError:
    return ImageError(f"the image has more than {max_pixels:,} pixels, the cap of this server", http_status=413)
