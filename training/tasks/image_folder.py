"""Any folder of pictures: `imagefolder:PATH` with one folder per class, `unlabelled:PATH` without classes.

PATH of `imagefolder` contains `train/` and `test/` (or `val/`), each with the same class folders, or directly the class
folders. In the second case about a fifth of the pictures of every class is the test set: those whose names below PATH
have the smallest hashes. An added picture moves at most one other picture between the sets.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from training.tasks.class_folders import labelled_pictures, pictures_below
from training.tasks.contents import LabelledPath
from training.tasks.image_files import ImageFiles, files_digest
from training.tasks.task import ANY_ASPECT, LabelledImages, Subset, Task, listed, num_held_out
from zoo.errors import TaskError
from zoo.models.decoding import SUFFIXES

TEST_SHARE = 0.2
TEST_FOLDERS = ("test", "val")
SPLIT_RULE = f"share {TEST_SHARE} of every class, by a hash of the name"


def open_image_folder(argument: str | None, data_dir: Path) -> Task:
    """The task imagefolder: pictures of any size and aspect, padded to 3x224x224.

    Raises: TaskError if the folder has a different layout, fewer than two classes, a class without pictures or an empty
    set.
    """
    if not argument:
        raise TaskError("the task imagefolder needs a folder: --task imagefolder:PATH")
    root = Path(argument).expanduser()
    if not root.is_dir():
        raise TaskError(f"{root} is not a folder")
    test_root = next((root / name for name in TEST_FOLDERS if (root / name).is_dir()), None)
    if (root / "train").is_dir() and test_root is None:
        raise TaskError(f"{root} contains train/ but neither {' nor '.join(f'{name}/' for name in TEST_FOLDERS)}")
    split: dict[str, object] = {}
    train: LabelledImages
    test: LabelledImages
    if test_root is not None and (root / "train").is_dir():
        class_names, train_files = _scan(root / "train")
        test_names, test_files = _scan(test_root)
        if class_names != test_names:
            raise TaskError(
                f"{test_root} and {root / 'train'} contain different classes: "
                f"{sorted(set(class_names) ^ set(test_names))}"
            )
        train, test = _images(train_files), _images(test_files)
        digest = files_digest(root, [*train.paths, *test.paths])
    else:
        class_names, files = _scan(root)
        images, test_indices = _images(files), _held_out(files, root)
        train_indices = sorted(set(range(len(images))) - set(test_indices))
        train, test = Subset(images, train_indices), Subset(images, test_indices)
        split = {"rule": SPLIT_RULE, "train": train_indices, "test": test_indices}
        digest = hashlib.sha256(f"{files_digest(root, images.paths)} {SPLIT_RULE}".encode()).hexdigest()
    if len(test) == 0:
        raise TaskError(f"{root}: the test set is empty; create train/ and test/ with your own split")
    return Task(
        name=f"imagefolder:{root.resolve().name}",
        class_names=class_names,
        preprocessing=ANY_ASPECT,
        augmentation="resized-crop-flip",
        train=train,
        test=test,
        split=split,
        digest=digest,
    )


def _held_out(files: Sequence[LabelledPath], root: Path) -> list[int]:
    """The indices of the test pictures."""
    below = f"{root}/"
    by_class = defaultdict(list)
    for index, (path, label) in enumerate(files):
        hashed = hashlib.sha256(path.removeprefix(below).encode()).digest()
        by_class[label].append((hashed, index))
    return sorted(
        index
        for members in by_class.values()
        for _, index in sorted(members)[: num_held_out(len(members), share=TEST_SHARE)]
    )


def _scan(root: Path) -> tuple[tuple[str, ...], list[LabelledPath]]:
    class_names, files = labelled_pictures(root)
    if len(class_names) < 2:
        raise TaskError(f"{root} contains {len(class_names)} class folder(s), a classifier needs at least 2")
    with_pictures = {label for _, label in files}
    empty = [name for label, name in enumerate(class_names) if label not in with_pictures]
    if empty:
        raise TaskError(
            f"{root}: no picture is in the class folder(s) {listed(empty)}: remove them, or put in files whose names "
            f"end in {', '.join(SUFFIXES)}"
        )
    return class_names, files


def _images(files: Sequence[LabelledPath]) -> ImageFiles:
    return ImageFiles([path for path, _ in files], [label for _, label in files])


UNLABELLED = ("unlabelled",)


def open_unlabelled(argument: str | None, data_dir: Path) -> Task:
    """The task unlabelled: pictures of any size, padded to 3x224x224, in one placeholder class; the test set is empty.

    Raises: TaskError if the folder contains fewer than two pictures.
    """
    if not argument:
        raise TaskError("the task unlabelled needs a folder: --task unlabelled:PATH")
    root = Path(argument).expanduser()
    if not root.is_dir():
        raise TaskError(f"{root} is not a folder")
    paths = sorted(pictures_below(root))
    if len(paths) < 2:
        raise TaskError(f"{root} contains {len(paths)} picture(s), pre-training needs at least 2")
    images = ImageFiles(paths, [0] * len(paths))
    return Task(
        name=f"unlabelled:{root.resolve().name}",
        class_names=UNLABELLED,
        preprocessing=ANY_ASPECT,
        augmentation="resized-crop-flip",
        train=images,
        test=Subset(images, []),
        digest=files_digest(root, paths),
    )
