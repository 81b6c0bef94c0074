"""Classifier, the result of `zoo.classifier`: pictures -> certificates, called like a transformers pipeline."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, overload

from PIL import Image
from torch import Tensor

from zoo.smoothing import Certificate, SmoothedClassifier
from zoo.smoothing.classifier import Picture

DEFAULT_N = 1_000
"""Draws for the bound, as on a server: a person waits for the answer."""


class Classifier:
    """A callable from pictures to certificates; `smoothed` is the smoothed classifier that certifies."""

    def __init__(self, smoothed: SmoothedClassifier) -> None:
        self.smoothed = smoothed

    @overload
    def __call__(self, pictures: Picture) -> Certificate: ...  # type: ignore[overload-overlap] # a str is one path
    @overload
    def __call__(self, pictures: Tensor) -> Any: ...  # one image or a batch
    @overload
    def __call__(  # type: ignore[overload-overlap] # a sequence gives a list, any other iterable an iterator
        self, pictures: Sequence[Picture | Tensor]
    ) -> list[Certificate]: ...
    @overload
    def __call__(self, pictures: Iterable[Picture | Tensor]) -> Iterator[Certificate]: ...

    def __call__(
        self, pictures: Picture | Tensor | Iterable[Picture | Tensor]
    ) -> Certificate | list[Certificate] | Iterator[Certificate]:
        """The certificate of a picture, or one per picture: `class_name`, `radius`, and `abstained` if nothing holds.

        Args:
            pictures: The path of an image file, a PIL picture, or a tensor `x_CHW` in [0, 1]; a list of them or a batch
                `x_BCHW`, whose answers are a list. The answers to another iterable, such as a generator, are an
                iterator that reads one picture at a time.

        Raises: ImageError if a file is not an image; CertificationError for a tensor of a wrong shape or range.
        """
        if isinstance(pictures, str | Path | Image.Image | Tensor | list | tuple) or not isinstance(pictures, Iterable):
            return self.smoothed.certify(pictures)
        return (self.smoothed.certify(picture) for picture in pictures)
