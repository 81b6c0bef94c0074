"""Any folder of pictures: `imagefolder:PATH` with one folder per class, `unlabelled:PATH` without classes.

PATH of `imagefolder` contains `train/` and `test/` (or `val/`), each with the same class folders, or directly the class
folders. In the second case a hash of each file's name below PATH assigns about a fifth of the pictures to the test set.
Adding a picture does not move any other picture between the sets.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from training.tasks.image_files import ImageFiles, folder_digest
from training.tasks.task import LabelledImages, Subset, Task
from zoo.errors import TaskError
from zoo.models.spec import Preprocessing

TEST_SHARE = 0.2
TEST_FOLDERS = ("test", "val")


def open_image_folder(argument: str | None, data_dir: Path) -> Task:
    """The task imagefolder: pictures of any size, used at 3x224x224 after resize 256.

    Raises: TaskError if the folder has a different layout, fewer than two classes or an empty set.
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
    if test_root is not None and (root / "train").is_dir():
        train: LabelledImages
        test: LabelledImages
        class_names, train = _scan(root / "train")
        test_names, test = _scan(test_root)
        if class_names != test_names:
            raise TaskError(
                f"{test_root} and {root / 'train'} contain different classes: "
                f"{sorted(set(class_names) ^ set(test_names))}"
            )
    else:
        class_names, images = _scan(root)
        test_indices = [index for index, path in enumerate(images.paths) if _is_held_out(Path(path), root)]
        train_indices = sorted(set(range(len(images))) - set(test_indices))
        train, test = Subset(images, train_indices), Subset(images, test_indices)
        split = {"rule": f"hash of the name, share {TEST_SHARE}", "train": train_indices, "test": test_indices}
    for part, part_images in (("train", train), ("test", test)):
        if len(part_images) == 0:
            raise TaskError(f"{root}: the {part} set is empty; create train/ and test/ with your own split")
    return Task(
        name=f"imagefolder:{root.resolve().name}",
        class_names=class_names,
        preprocessing=Preprocessing(resize=256, crop=224),
        augmentation="resized-crop-flip",
        train=train,
        test=test,
        split=split,
        digest=folder_digest(root),
    )


def _is_held_out(path: Path, root: Path) -> bool:
    name = path.relative_to(root).as_posix()
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") < TEST_SHARE * 2**64


def _scan(root: Path) -> tuple[tuple[str, ...], ImageFiles]:
    from torchvision.datasets import ImageFolder

    try:
        folder = ImageFolder(str(root))
    except FileNotFoundError as error:
        raise TaskError(f"{root}: {error}") from error
    if len(folder.classes) < 2:
        raise TaskError(f"{root} contains {len(folder.classes)} class folder(s), a classifier needs at least 2")
    return tuple(folder.classes), ImageFiles([path for path, _ in folder.samples], folder.targets)


UNLABELLED = ("unlabelled",)


def open_unlabelled(argument: str | None, data_dir: Path) -> Task:
    """The task unlabelled: pictures of any size, used at 3x224x224, in one placeholder class; the test set is empty.

    Raises: TaskError if the folder contains fewer than two pictures.
    """
    from torchvision.datasets.folder import is_image_file

    if not argument:
        raise TaskError("the task unlabelled needs a folder: --task unlabelled:PATH")
    root = Path(argument).expanduser()
    if not root.is_dir():
        raise TaskError(f"{root} is not a folder")
    paths = sorted(str(path) for path in root.rglob("*") if path.is_file() and is_image_file(path.name))
    if len(paths) < 2:
        raise TaskError(f"{root} contains {len(paths)} picture(s), pre-training needs at least 2")
    images = ImageFiles(paths, [0] * len(paths))
    return Task(
        name=f"unlabelled:{root.resolve().name}",
        class_names=UNLABELLED,
        preprocessing=Preprocessing(resize=256, crop=224),
        augmentation="resized-crop-flip",
        train=images,
        test=Subset(images, []),
        digest=folder_digest(root),
    )
