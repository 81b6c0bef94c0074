"""Readers of published data sets with one folder per class, split by folders or by the first files per class."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.tasks.class_folders import folders_in, is_hidden, labelled_pictures
from training.tasks.contents import Contents, LabelledPath, from_files
from training.tasks.image_folder import TEST_FOLDERS
from zoo.errors import TaskError


def folder_names(folders: Sequence[str]) -> Sequence[str]:
    """The folder names as class names."""
    return folders


def imagenet_names(folders: Sequence[str]) -> Sequence[str]:
    """Words for the thousand WordNet ids in their order; the ids themselves for a copy with fewer classes."""
    from torchvision.models import ResNet50_Weights  # takes as long as importing torch

    names: list[str] = ResNet50_Weights.IMAGENET1K_V1.meta["categories"]
    return names if len(folders) == len(names) else folders


@dataclass(frozen=True, slots=True)
class FolderTree:
    """Reads train/ and test/ (or val/). The folders in train/ are the classes; a class may have no pictures."""

    class_names: Callable[[Sequence[str]], Sequence[str]] = folder_names

    def __call__(self, root: Path, *, download: bool) -> Contents:
        test_root = next((root / name for name in TEST_FOLDERS if (root / name).is_dir()), root / TEST_FOLDERS[0])
        folders, train = labelled_pictures(root / "train")
        test_folders, test = labelled_pictures(test_root)
        unknown = sorted(set(test_folders) - set(folders))
        if unknown:
            raise TaskError(f"{test_root} contains classes that {root / 'train'} does not: {', '.join(unknown)}")
        label_of = {folder: label for label, folder in enumerate(folders)}
        test = [(path, label_of[test_folders[label]]) for path, label in test]
        return from_files(root, self.class_names(folders), train=train, test=test)


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstFiles:
    """Reads class folders: by name, the first `count` *.jpg of each are training pictures, the others test pictures.

    `dataset` is torchvision's class. It only downloads, because its numbering assumes files that a partial copy lacks.
    The number before a class folder's name ("001.ak47") is not part of the class's name.
    """

    dataset: Callable[..., Any]
    folder: str
    count: int
    left_out: tuple[str, ...] = ()

    def __call__(self, root: Path, *, download: bool) -> Contents:
        if download and not (root / self.folder).is_dir():
            self.dataset(root, download=True)
        folders = [path for path in folders_in(root / self.folder) if path.name not in self.left_out]
        train: list[LabelledPath] = []
        test: list[LabelledPath] = []
        for label, folder in enumerate(folders):
            files = [(str(path), label) for path in sorted(folder.glob("*.jpg")) if not is_hidden(path.name)]
            train += files[: self.count]
            test += files[self.count :]
        names = [folder.name.partition(".")[2] or folder.name for folder in folders]
        return from_files(root, names, train=train, test=test)
