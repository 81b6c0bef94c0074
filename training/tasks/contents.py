"""The contents of a published data set on disk: class names and pictures, listed but not decoded."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from training.tasks.image_files import ImageFiles
from training.tasks.task import LabelledImages

LabelledPath = tuple[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """Both parts of a data set. `digest` becomes the task's digest; `remarks` are added to the task's deviations."""

    class_names: tuple[str, ...]
    train: LabelledImages
    test: LabelledImages
    digest: str = ""
    remarks: tuple[str, ...] = ()


def from_files(
    root: Path, class_names: Iterable[str], *, train: Sequence[LabelledPath], test: Sequence[LabelledPath]
) -> Contents:
    """The contents of labelled files; the digest covers the files' names below `root` and their labels."""
    below = f"{root}/"
    digest = hashlib.sha256()
    for part, files in (("train", train), ("test", test)):
        for path, label in files:
            digest.update(f"{part} {path.removeprefix(below)} {label}\n".encode())
    return Contents(class_names=tuple(class_names), train=_images(train), test=_images(test), digest=digest.hexdigest())


def from_lists(
    root: Path, class_names: Iterable[str], *, train: Iterable[LabelledPath], test: Iterable[LabelledPath]
) -> Contents:
    """The contents of the listed files that exist; `remarks` gives the number of missing files."""
    train, test = list(train), list(test)
    present_train, present_test = _present(train), _present(test)
    contents = from_files(root, class_names, train=present_train, test=present_test)
    absent = len(train) + len(test) - len(present_train) - len(present_test)
    if absent == 0:
        return contents
    return replace(contents, remarks=(f"Listed pictures that are not on disk and are left out: {absent:,}.",))


def _present(files: Iterable[LabelledPath]) -> list[LabelledPath]:
    return [(path, label) for path, label in files if Path(path).is_file()]


def _images(files: Sequence[LabelledPath]) -> ImageFiles:
    return ImageFiles([path for path, _ in files], [int(label) for _, label in files])
