"""Pictures as batches: augmented for training, prepared as the server prepares them for everything else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.transforms import v2

from training.streams import global_cpu_stream, stream
from training.tasks.task import Augmentation, LabelledImages
from zoo.models.preprocessing import to_bytes_CHW
from zoo.models.spec import Preprocessing

Transform = Callable[[Image.Image], Tensor]
SMALLEST_BLURRED = 64


class EvaluationImages(Dataset[tuple[Tensor, int]]):
    """`(x_CHW as uint8, label)`, prepared exactly as a request's image."""

    def __init__(self, images: LabelledImages, preprocessing: Preprocessing) -> None:
        self.images = images
        self.preprocessing = preprocessing

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return to_bytes_CHW(self.images[index], self.preprocessing), self.images.labels[index]


class TrainingImages(Dataset[tuple[Tensor, int, int]]):
    """`(views as uint8, label, number)`: each view augmented from the stream of (seed, epoch, number, view), whatever
    worker loads it. One view is a `x_CHW`, several are a `x_VCHW`; the number is the image's place in `images`.
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
        with global_cpu_stream(self.seed, "augmentation", *place):
            return self.transform(image)


@dataclass(slots=True)
class ShuffledBatches:
    """Batches of numbers in an order drawn from (seed, epoch), and this process's parts of them.

    Every batch falls into `num_parts` parts of nearly equal size, in order; this process holds `own_parts` of them. A
    last batch with fewer than two images a part joins the one before it: batch normalization cannot train on a single
    value a channel.
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
        """How many parts this process goes through in an epoch."""
        return self.num_batches * len(self.own_parts)

    @property
    def num_batches(self) -> int:
        return len(self.bounds)

    @property
    def bounds(self) -> list[tuple[int, int]]:
        """Where each batch begins and ends in the order of an epoch."""
        starts = list(range(0, self.num_images, self.batch_size))
        if len(starts) > 1 and self.num_images - starts[-1] < 2 * self.num_parts:
            starts.pop()
        return list(zip(starts, [*starts[1:], self.num_images], strict=True))


def augmenting_transform(augmentation: Augmentation, preprocessing: Preprocessing) -> Transform:
    """A picture -> uint8 `(3, crop, crop)`, at random (from torch's global generator).

    It can be pickled, for loader workers that are spawned.
    """
    crop = preprocessing.crop
    to_bytes = partial(to_bytes_CHW, preprocessing=preprocessing)
    if augmentation == "resized-crop-flip":
        transform: Transform = v2.Compose(
            [v2.RGB(), v2.RandomResizedCrop(crop, antialias=True), v2.RandomHorizontalFlip(), v2.PILToTensor()]
        )
        return transform
    if augmentation == "simclr":
        return _simclr_transform(crop)
    if augmentation == "none":
        return to_bytes
    shift_flip: Transform = v2.Compose([to_bytes, v2.RandomCrop(crop, padding=crop // 8), v2.RandomHorizontalFlip()])
    return shift_flip


def _simclr_transform(crop: int) -> Transform:
    """Crop, flip, colour and blur of SimCLR (Chen et al. 2020, appendix A; for small pictures their CIFAR-10 variant,
    appendix B.9: half the jitter and no blur)."""
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
