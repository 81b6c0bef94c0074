"""A callable that converts a picture to the tensor that a certificate covers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from torch import Tensor

from zoo.models.decoding import read_picture, to_rgb
from zoo.models.preprocessing import prepare
from zoo.models.spec import Preprocessing


@dataclass(frozen=True, slots=True)
class Transforms:
    """Converts a picture to `x_CHW`, like torchvision's `weights.transforms()` but without the normalization.

    The normalization is the network's first layer.
    """

    preprocessing: Preprocessing

    def __call__(self, picture: str | Path | Image.Image) -> Tensor:
        """The tensor `x_CHW`, float32 in [0, 1], of a PIL picture or of the picture in a file; both are decoded alike.

        Raises: ImageError if the file is not a picture, or the picture is refused.
        """
        image = to_rgb(picture) if isinstance(picture, Image.Image) else read_picture(picture)
        return prepare(image, self.preprocessing)
