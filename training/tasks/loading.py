"""Pictures as batches: augmented for training, prepared as the server prepares them for everything else."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.transforms import v2

from training.streams import global_cpu_stream, stream
from training.tasks.task import Augmentation, LabelledImages
from zoo.preprocessing import to_bytes_CHW
from zoo.spec import Preprocessing

Transform = Callable[[Image.Image], Tensor]


class EvaluationImages(Dataset[tuple[Tensor, int]]):
    """`(x_CHW as uint8, label)`, prepared exactly as a request's image."""

    def __init__(self, images: LabelledImages, preprocessing: Preprocessing) -> None:
        self.images = images
        self.preprocessing = preprocessing

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return to_bytes_CHW(self.images[index], self.preprocessing), self.images.labels[index]


class TrainingImages(Dataset[tuple[Tensor, int]]):
    """`(x_CHW as uint8, label)`, augmented from the stream of (seed, epoch, image), whatever worker loads it."""

    def __init__(
        self, images: LabelledImages, preprocessing: Preprocessing, augmentation: Augmentation, *, seed: int
    ) -> None:
        self.images = images
        self.transform = augmenting_transform(augmentation, preprocessing)
        self.seed = seed
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        with global_cpu_stream(self.seed, "augmentation", self.epoch, index):
            return self.transform(self.images[index]), self.images.labels[index]


@dataclass(slots=True)
class ShuffledBatches:
    """Batches of indices in an order drawn from (seed, epoch); a last batch of one image joins the one before it.

    Batch normalization cannot train on a single value a channel.
    """

    num_images: int
    batch_size: int
    seed: int
    epoch: int = 0

    def __iter__(self) -> Iterator[list[int]]:
        order = torch.randperm(self.num_images, generator=stream(self.seed, "order", self.epoch)).tolist()
        starts = self._starts()
        for start, end in zip(starts, [*starts[1:], self.num_images], strict=True):
            yield order[start:end]

    def __len__(self) -> int:
        return len(self._starts())

    def _starts(self) -> Sequence[int]:
        starts = list(range(0, self.num_images, self.batch_size))
        if len(starts) > 1 and self.num_images - starts[-1] == 1:
            starts.pop()
        return starts


def augmenting_transform(augmentation: Augmentation, preprocessing: Preprocessing) -> Transform:
    """A picture -> uint8 `(3, crop, crop)`, at random (from torch's global generator)."""
    crop = preprocessing.crop
    if augmentation == "resized-crop-flip":
        transform: Transform = v2.Compose(
            [v2.RGB(), v2.RandomResizedCrop(crop, antialias=True), v2.RandomHorizontalFlip(), v2.PILToTensor()]
        )
        return transform
    if augmentation == "none":
        return lambda image: to_bytes_CHW(image, preprocessing)
    shift_flip = v2.Compose([v2.RandomCrop(crop, padding=crop // 8), v2.RandomHorizontalFlip()])
    return lambda image: shift_flip(to_bytes_CHW(image, preprocessing))
