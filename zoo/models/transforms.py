"""A callable that converts a picture to the tensor that a certificate covers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from torch import Tensor

from zoo.models.decoding import read_picture
from zoo.models.preprocessing import prepare, require_8_bits
from zoo.models.spec import Preprocessing


@dataclass(frozen=True, slots=True)
class Transforms:
    """Converts a picture to `x_CHW`, like torchvision's `weights.transforms()` but without the normalization.

    The normalization is the network's first layer.
    """

    preprocessing: Preprocessing

    def __call__(self, picture: str | Path | Image.Image) -> Tensor:
        """The tensor `x_CHW`, float32 in [0, 1], of a PIL picture or of the picture in a file.

        Raises: ImageError if the file is not a picture, or the picture has more than 8 bits per channel.
        """
        if not isinstance(picture, Image.Image):
            return prepare(read_picture(picture), self.preprocessing)
        require_8_bits(picture)
        return prepare(picture, self.preprocessing)
