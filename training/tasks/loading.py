"""Batches of pictures: augmented for training, and otherwise preprocessed as the server preprocesses a request."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from PIL import Image, ImageColor
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from training.streams import global_stream, stream
from training.tasks.task import Augmentation, LabelledImages
from zoo.errors import ImageError
from zoo.models.preprocessing import BORDER, padded_window, to_bytes_CHW
from zoo.models.spec import Preprocessing

Transform = Callable[[Image.Image], Tensor]
SMALLEST_BLURRED = 64
WINDOW_SHARE = (0.35, 1.0)
"""The share of the padded picture's area that a training window covers. With an aspect of at least 3/4, every window is
wider and higher than half of the square, so it contains a part of the picture, however thin the picture is."""
ASPECTS = (3 / 4, 4 / 3)


class EvaluationImages(Dataset[tuple[Tensor, int]]):
    """Pairs `(x_CHW as uint8, label)`, preprocessed exactly as a request's image."""

    def __init__(self, images: LabelledImages, preprocessing: Preprocessing) -> None:
        self.images = images
        self.preprocessing = preprocessing

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return to_bytes_CHW(self.images[index], self.preprocessing), self.images.labels[index]


class TrainingImages(Dataset[tuple[Tensor, int, int]]):
    """Triples `(views as uint8, label, number)`; the number is the image's index in `images`.

    Each view is augmented from the stream of (seed, epoch, number, view), independent of the worker that loads it. One
    view is an `x_CHW`, several views are an `x_VCHW`.
    """

    def __init__(
        self,
        images: LabelledImages,
        preprocessing: Preprocessing,
        augmentation: Augmentation,
        *,
        seed: int,
        num_views: int = 1,
    ) -> None:
        self.images = images
        self.transform = augmenting_transform(augmentation, preprocessing)
        self.seed = seed
        self.num_views = num_views
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int, int]:
        image = self.images[index]
        views = [self._view(image, index, view) for view in range(self.num_views)]
        return views[0] if self.num_views == 1 else torch.stack(views), self.images.labels[index], index

    def _view(self, image: Image.Image, index: int, view: int) -> Tensor:
        place = (self.epoch, index, view) if view > 0 else (self.epoch, index)
        with global_stream(self.seed, "augmentation", *place):
            return self.transform(image)


def loaded_batches(loader: DataLoader[Any]) -> Iterator[Any]:
    """The loader's batches. Raises: ImageError that names a refused picture in one sentence, also from a worker."""
    try:
        yield from loader
    except ImageError as error:
        # PyTorch puts the traceback of a worker before the message.
        sentence = str(error).rpartition(f"{ImageError.__name__}: ")[2].strip()
        raise ImageError(sentence, http_status=error.http_status) from error


@dataclass(slots=True)
class ShuffledBatches:
    """This process's parts of the batches of an epoch, as image numbers in an order drawn from (seed, epoch).

    Every batch is divided into `num_parts` consecutive parts of nearly equal size; `own_parts` are this process's. A
    last batch with fewer than two images per part is joined to the batch before it, because batch normalization cannot
    train on a single value per channel.
    """

    num_images: int
    batch_size: int
    seed: int
    num_parts: int = 1
    own_parts: range = range(1)
    epoch: int = 0

    def __iter__(self) -> Iterator[list[int]]:
        """This process's parts, batch by batch."""
        order = torch.randperm(self.num_images, generator=stream(self.seed, "order", self.epoch)).tolist()
        for start, end in self.bounds:
            cuts = [start + (end - start) * part // self.num_parts for part in range(self.num_parts + 1)]
            for part in self.own_parts:
                yield order[cuts[part] : cuts[part + 1]]

    def __len__(self) -> int:
        """The number of parts that this process loads in an epoch."""
        return self.num_batches * len(self.own_parts)

    @property
    def num_batches(self) -> int:
        return len(self.bounds)

    @property
    def bounds(self) -> list[tuple[int, int]]:
        """The start and end of each batch in the order of an epoch."""
        starts = list(range(0, self.num_images, self.batch_size))
        if len(starts) > 1 and self.num_images - starts[-1] < 2 * self.num_parts:
            starts.pop()
        return list(zip(starts, [*starts[1:], self.num_images], strict=True))


def augmenting_transform(augmentation: Augmentation, preprocessing: Preprocessing) -> Transform:
    """A random transform from a picture to uint8 `(3, crop, crop)`; it draws from torch's global generator.

    With the fit `pad`, a resized crop is a window of the padded picture, so that training sees borders as evaluation
    does. `simclr` crops the picture itself with either fit: its small crops would often contain only border.
    The transform can be pickled for spawned loader workers.
    """
    from torchvision.transforms import v2  # takes as long as importing torch

    crop, pads = preprocessing.crop, preprocessing.fit == "pad"
    to_bytes = partial(to_bytes_CHW, preprocessing=preprocessing)
    if augmentation == "resized-crop-flip":
        part = [PaddedWindow(preprocessing)] if pads else [v2.RGB(), v2.RandomResizedCrop(crop, antialias=True)]
        transform: Transform = v2.Compose([*part, v2.RandomHorizontalFlip(), v2.PILToTensor()])
        return transform
    if augmentation == "simclr":
        return _simclr_transform(crop)
    if augmentation == "none":
        return to_bytes
    shift = v2.RandomCrop(crop, padding=crop // 8, fill=ImageColor.getrgb(BORDER) if pads else 0)
    shift_flip: Transform = v2.Compose([to_bytes, shift, v2.RandomHorizontalFlip()])
    return shift_flip


@dataclass(frozen=True, slots=True)
class PaddedWindow:
    """A random window of the padded picture, resized to the crop, as `RandomResizedCrop` is of the picture itself."""

    preprocessing: Preprocessing

    def __call__(self, image: Image.Image) -> Image.Image:
        from torchvision.transforms import RandomResizedCrop

        side = max(image.size)
        square = torch.empty(1).expand(1, side, side)  # only its shape is read; it takes no memory
        top, left, height, width = RandomResizedCrop.get_params(square, WINDOW_SHARE, ASPECTS)
        return padded_window(image, self.preprocessing, top=top, left=left, height=height, width=width)


def _simclr_transform(crop: int) -> Transform:
    """SimCLR's random crop, flip, colour jitter and blur (Chen et al. 2020, appendix A).

    Small pictures use the CIFAR-10 variant of appendix B.9: half the jitter and no blur.
    """
    from torchvision.transforms import v2

    is_small = crop < SMALLEST_BLURRED
    strength = 0.5 if is_small else 1.0
    jitter = v2.ColorJitter(0.8 * strength, 0.8 * strength, 0.8 * strength, 0.2 * strength)
    blur = [] if is_small else [v2.RandomApply([v2.GaussianBlur(crop // 20 * 2 + 1, sigma=(0.1, 2.0))], p=0.5)]
    transform: Transform = v2.Compose(
        [
            v2.RGB(),
            v2.RandomResizedCrop(crop, antialias=True),
            v2.RandomHorizontalFlip(),
            v2.RandomApply([jitter], p=0.8),
            v2.RandomGrayscale(p=0.2),
            *blur,
            v2.PILToTensor(),
        ]
    )
    return transform
