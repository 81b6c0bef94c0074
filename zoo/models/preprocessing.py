"""The only conversion of a decoded picture to the tensor that a certificate covers.

Training's evaluation, offline certification and the server all use this module. A certificate over HTTP and one from a
test set are therefore about the same pixels. Resizing, cropping and padding use 8 bits (Pillow's integer arithmetic,
which does not depend on the processor); the division by 255 comes after them.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from zoo.models.spec import Preprocessing

BORDER = "white"
"""The colour around a padded picture. The decoder composites transparency over the same colour."""

_RESAMPLING = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}


def to_bytes_CHW(image: Image.Image, preprocessing: Preprocessing) -> Tensor:
    """A picture of any size and mode, cropped or padded to a square, as a uint8 tensor `(3, crop, crop)`."""
    if preprocessing.fit == "pad":
        side = max(image.size)
        square = padded_window(image, preprocessing, top=0, left=0, height=side, width=side)
    else:
        square = _centre_crop(image.convert("RGB"), preprocessing)
    return torch.from_numpy(np.array(square, dtype=np.uint8)).permute(2, 0, 1).contiguous()


def to_pixels(x_bytes: Tensor) -> Tensor:
    """A uint8 tensor of any shape as float32 in [0, 1]."""
    return x_bytes.to(torch.float32) / 255


def prepare(image: Image.Image, preprocessing: Preprocessing) -> Tensor:
    """The tensor `x_CHW`, float32 in [0, 1], that the noise is added to and the certificate covers."""
    return to_pixels(to_bytes_CHW(image, preprocessing))


def padded_window(
    image: Image.Image, preprocessing: Preprocessing, *, top: int, left: int, height: int, width: int
) -> Image.Image:
    """A window of the padded picture, resized to a square of `crop` pixels in mode RGB.

    The padded picture is the white square whose side is the picture's longer side, with the picture at its centre. The
    window must contain a part of the picture. Only that part is computed, so a large or extreme picture costs no more
    memory than the result.

    Args:
        image: the picture, of any size and mode.
        preprocessing: the side of the result and the interpolation.
        top: the window's first row in the padded picture, in the picture's own pixels.
        left: the window's first column.
        height: the window's height.
        width: the window's width.
    """
    crop, side = preprocessing.crop, max(image.size)
    first_x, last_x, x, columns = _visible(image.width, side=side, start=left, extent=width, pixels=crop)
    first_y, last_y, y, rows = _visible(image.height, side=side, start=top, extent=height, pixels=crop)
    part = image.convert("RGB").resize(
        (columns, rows), _RESAMPLING[preprocessing.interpolation], box=(first_x, first_y, last_x, last_y)
    )
    square = Image.new("RGB", (crop, crop), BORDER)
    square.paste(part, (x, y))
    return square


def _visible(length: int, *, side: int, start: int, extent: int, pixels: int) -> tuple[float, float, int, int]:
    """Along one axis: the ends of the visible part of the picture, and the first pixel and the number of pixels of it.

    At least one pixel is visible, however thin the picture is.
    """
    border = (side - length) / 2
    first, last = max(start, border), min(start + extent, border + length)
    size = max(1, round((last - first) * pixels / extent))
    place = math.floor((first + last - 2 * start) * pixels / (2 * extent) - size / 2)
    return first - border, last - border, min(max(place, 0), pixels - size), size


def _centre_crop(image: Image.Image, preprocessing: Preprocessing) -> Image.Image:
    shorter, crop = min(image.size), preprocessing.crop
    width, height = (max(round(side * preprocessing.resize / shorter), preprocessing.resize) for side in image.size)
    left, top = (width - crop) // 2, (height - crop) // 2
    # Only the part that the crop keeps is computed: a 10,000 x 1 picture would otherwise be resized to gigabytes.
    across, down = image.width / width, image.height / height
    box = (left * across, top * down, (left + crop) * across, (top + crop) * down)
    return image.resize((crop, crop), _RESAMPLING[preprocessing.interpolation], box=box)
