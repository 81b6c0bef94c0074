"""The only conversion of a decoded picture to the tensor that a certificate covers.

Training's evaluation, offline certification and the server all use this module. A certificate over HTTP and one from a
test set are therefore about the same pixels. Resizing and cropping use 8 bits (Pillow's integer arithmetic, which does
not depend on the processor); the division by 255 comes after them.
"""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from zoo.models.spec import Preprocessing

_RESAMPLING = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}


def to_bytes_CHW(image: Image.Image, preprocessing: Preprocessing) -> Tensor:
    """A picture of any size and mode, resized and cropped, as a uint8 tensor `(3, crop, crop)`."""
    image = image.convert("RGB")
    shorter, crop = min(image.size), preprocessing.crop
    width, height = (max(round(side * preprocessing.resize / shorter), preprocessing.resize) for side in image.size)
    left, top = (width - crop) // 2, (height - crop) // 2
    # Only the part that the crop keeps is computed: a 10,000 x 1 picture would otherwise be resized to gigabytes.
    across, down = image.width / width, image.height / height
    box = (left * across, top * down, (left + crop) * across, (top + crop) * down)
    image = image.resize((crop, crop), _RESAMPLING[preprocessing.interpolation], box=box)
    return torch.from_numpy(np.array(image, dtype=np.uint8)).permute(2, 0, 1).contiguous()


def to_pixels(x_bytes: Tensor) -> Tensor:
    """A uint8 tensor of any shape as float32 in [0, 1]."""
    return x_bytes.to(torch.float32) / 255


def prepare(image: Image.Image, preprocessing: Preprocessing) -> Tensor:
    """The tensor `x_CHW`, float32 in [0, 1], that the noise is added to and the certificate covers."""
    return to_pixels(to_bytes_CHW(image, preprocessing))
