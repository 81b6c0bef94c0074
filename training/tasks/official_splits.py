"""Readers of data sets whose publisher lists the training pictures and the test pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from training.tasks.contents import Contents, LabelledPath, from_lists
from training.tasks.task import ArrayImages
from training.tasks.torchvision_dataset import TorchvisionDataset
from zoo.errors import TaskError


@dataclass(frozen=True, slots=True)
class OfficialSplits:
    """Reads a data set through a torchvision class with its official splits; joins the splits in `train` in order."""

    dataset: Callable[..., Any]
    train: tuple[str, ...]
    test: str

    def __call__(self, root: Path, *, download: bool) -> Contents:
        # A loader that returns the path lists the pictures without decoding them.
        parts = [self.dataset(root, split=split, download=download, loader=str) for split in (*self.train, self.test)]
        *train, test = ([part[index] for index in range(len(part))] for part in parts)
        return from_lists(root, _shared_classes(root, parts), train=chain.from_iterable(train), test=test)


def read_pets(root: Path, *, download: bool) -> Contents:
    """The contents that annotations/trainval.txt and annotations/test.txt list."""
    dataset = TorchvisionDataset("OxfordIIITPet")
    parts = [dataset(root, split=split, download=download) for split in ("trainval", "test")]
    # The class has no loader argument: only these two lists give the labels without decoding every picture.
    train, test = (
        [(str(path), label) for path, label in zip(part._images, part._labels, strict=True)] for part in parts
    )
    return from_lists(root, _shared_classes(root, parts), train=train, test=test)


@dataclass(frozen=True, slots=True)
class CifarBatches:
    """Reads CIFAR through torchvision, which unpickles only files with the published checksums."""

    dataset: Callable[..., Any]

    def __call__(self, root: Path, *, download: bool) -> Contents:
        train, test = (self.dataset(root, train=is_train, download=download) for is_train in (True, False))
        return Contents(
            class_names=tuple(train.classes),
            train=ArrayImages(train.data, train.targets),
            test=ArrayImages(test.data, test.targets),
        )


def read_sun397(root: Path, *, download: bool) -> Contents:
    """The contents of partition 1 of ten, from the publisher's lists: torchvision's class has no partitions."""
    folder = root / "SUN397"
    class_names = [line.strip()[len("/a/") :] for line in (folder / "ClassName.txt").read_text().splitlines()]
    labels = {name: label for label, name in enumerate(class_names)}
    train, test = (_partition(folder, name, labels) for name in ("Training_01.txt", "Testing_01.txt"))
    return from_lists(root, class_names, train=train, test=test)


def _partition(folder: Path, name: str, labels: dict[str, int]) -> Iterator[LabelledPath]:
    """The files in a list with lines such as /a/apartment_building/outdoor/sun_aabbcc.jpg."""
    path = next((path for path in (folder / name, folder / "Partitions" / name) if path.is_file()), folder / name)
    for line in path.read_text().split():
        class_name = line[len("/a/") :].rpartition("/")[0]
        if class_name not in labels:
            raise TaskError(f"{path} names {line}, but {folder / 'ClassName.txt'} has no class {class_name!r}")
        yield str(folder / line.lstrip("/")), labels[class_name]


def _shared_classes(root: Path, parts: list[Any]) -> list[str]:
    first = [str(name) for name in parts[0].classes]
    for part in parts[1:]:
        differing = sorted(set(first) ^ set(part.classes))
        if differing:
            raise TaskError(f"the lists of pictures in {root} name different classes for train and test: {differing}")
    return first
