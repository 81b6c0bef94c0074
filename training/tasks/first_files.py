"""Readers of data sets without a published split: the first files of every class are for training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.tasks.contents import Contents, LabelledPath, from_files


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstFiles:
    """The first `count` *.jpg of every class folder, in the order of their names, train; the others test.

    `dataset` is torchvision's class, which only downloads: its numbering takes files for granted that a partial copy
    lacks. The number before a class folder's name ("001.ak47") is no part of the class's name.
    """

    dataset: Callable[..., Any]
    folder: str
    count: int
    left_out: tuple[str, ...] = ()

    def __call__(self, root: Path, *, download: bool) -> Contents:
        if download and not (root / self.folder).is_dir():
            self.dataset(root, download=True)
        folders = sorted(path for path in (root / self.folder).iterdir() if path.is_dir())
        folders = [path for path in folders if path.name not in self.left_out]
        train: list[LabelledPath] = []
        test: list[LabelledPath] = []
        for label, folder in enumerate(folders):
            files = [(str(path), label) for path in sorted(folder.glob("*.jpg"))]
            train += files[: self.count]
            test += files[self.count :]
        names = [folder.name.partition(".")[2] or folder.name for folder in folders]
        return from_files(root, names, train=train, test=test)
