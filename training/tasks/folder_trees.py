"""Readers of published data sets that lie on disk as train/ and test/ (or val/) with a folder a class."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from torchvision.datasets import ImageFolder
from torchvision.models import ResNet50_Weights

from training.tasks.contents import Contents, from_files
from training.tasks.image_folder import TEST_FOLDERS
from zoo.errors import TaskError


def folder_names(folders: Sequence[str]) -> Sequence[str]:
    """The folders' names are the classes'."""
    return folders


def imagenet_names(folders: Sequence[str]) -> Sequence[str]:
    """Words for the thousand WordNet ids in their order; the ids themselves in a copy with fewer classes."""
    names: list[str] = ResNet50_Weights.IMAGENET1K_V1.meta["categories"]
    return names if len(folders) == len(names) else folders


@dataclass(frozen=True, slots=True)
class FolderTree:
    """Reads train/ and test/ (or val/). The classes are train's; some may lack pictures."""

    class_names: Callable[[Sequence[str]], Sequence[str]] = folder_names

    def __call__(self, root: Path, *, download: bool) -> Contents:
        test_root = next((root / name for name in TEST_FOLDERS if (root / name).is_dir()), root / TEST_FOLDERS[0])
        train, test = (ImageFolder(str(folder), allow_empty=True) for folder in (root / "train", test_root))
        unknown = sorted(set(test.classes) - set(train.classes))
        if unknown:
            raise TaskError(f"{test_root} holds classes that {root / 'train'} does not: {', '.join(unknown)}")
        test_files = [(path, train.class_to_idx[test.classes[label]]) for path, label in test.samples]
        return from_files(root, self.class_names(train.classes), train=train.samples, test=test_files)
