"""The definition of a task: labelled pictures for training and testing, and their preprocessing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from zoo.models.spec import Preprocessing

Augmentation = Literal["none", "shift-flip", "resized-crop-flip", "simclr"]

ANY_ASPECT = Preprocessing(resize=224, crop=224, fit="pad")
"""The preprocessing of pictures of any size and aspect: a centre crop would cut off what is at their ends."""

MAX_LISTED = 10


class LabelledImages(Protocol):
    """Decoded pictures in a fixed order. `labels[i]` is the class of picture `i`."""

    @property
    def labels(self) -> Sequence[int]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Image.Image: ...


@dataclass(frozen=True, slots=True)
class ArrayImages:
    """Gray or colour pictures held in memory: uint8 `(N, H, W)` or `(N, H, W, 3)`."""

    pixels: npt.NDArray[np.uint8]
    labels: Sequence[int]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> Image.Image:
        return Image.fromarray(self.pixels[index])


class Subset:
    """Selected pictures of another set, in the order of `indices`."""

    def __init__(self, images: LabelledImages, indices: Sequence[int]) -> None:
        self.images = images
        self.indices = indices
        self.labels: Sequence[int] = [images.labels[index] for index in indices]

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Image.Image:
        return self.images[self.indices[index]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A classification task.

    `split` records how the pictures were split into train and test. `digest` changes with a folder's contents; data
    with published checksums have no digest. `deviations` are sentences on differences of the pictures or their split
    from the published ones.
    """

    name: str
    class_names: tuple[str, ...]
    preprocessing: Preprocessing
    augmentation: Augmentation
    train: LabelledImages
    test: LabelledImages
    split: Mapping[str, Any] = field(default_factory=dict)
    digest: str = ""
    deviations: tuple[str, ...] = ()

    @property
    def num_classes(self) -> int:
        return len(self.class_names)


def listed(names: Sequence[str]) -> str:
    """The first few names, separated by commas, and the number of the others."""
    num_others = len(names) - MAX_LISTED
    return ", ".join(names[:MAX_LISTED]) + (f" and {num_others} more" if num_others > 0 else "")


def num_held_out(num_pictures: int, *, share: float) -> int:
    """The number of a class's pictures that a part of `share` gets: at least one of two, and never the whole class."""
    wanted = max(round(num_pictures * share), 1 if share > 0 else 0)
    return min(wanted, num_pictures - 1)


def stratified_split(labels: Sequence[int], *, share: float, seed: int) -> tuple[list[int], list[int]]:
    """Sorted indices `(rest, part)`, with `num_held_out` pictures of every class in `part`."""
    rng = np.random.Generator(np.random.PCG64(seed))
    label_array = np.asarray(labels)
    part: list[int] = []
    for label in np.unique(label_array):
        members = np.flatnonzero(label_array == label)
        part += rng.permutation(members)[: num_held_out(len(members), share=share)].tolist()
    chosen = set(part)
    return [index for index in range(len(label_array)) if index not in chosen], sorted(part)
