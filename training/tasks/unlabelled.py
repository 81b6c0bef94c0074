"""Pictures without classes, to pre-train on: `unlabelled:PATH` with pictures anywhere below PATH."""

from __future__ import annotations

from pathlib import Path

from training.tasks.image_files import ImageFiles, folder_digest
from training.tasks.task import Subset, Task
from zoo.errors import TaskError
from zoo.models.spec import Preprocessing

CLASS_NAMES = ("unlabelled",)


def open_unlabelled(argument: str | None, data_dir: Path) -> Task:
    """Pictures of any size, used at 3x224x224, all of one class that stands for none; there is no test set.

    Raises: TaskError if the folder holds fewer than two pictures.
    """
    from torchvision.datasets.folder import is_image_file

    if not argument:
        raise TaskError("the task unlabelled needs a folder: --task unlabelled:PATH")
    root = Path(argument).expanduser()
    if not root.is_dir():
        raise TaskError(f"{root} is no folder")
    paths = sorted(str(path) for path in root.rglob("*") if path.is_file() and is_image_file(path.name))
    if len(paths) < 2:
        raise TaskError(f"{root} holds {len(paths)} picture(s), pre-training needs at least 2")
    images = ImageFiles(paths, [0] * len(paths))
    return Task(
        name=f"unlabelled:{root.resolve().name}",
        class_names=CLASS_NAMES,
        preprocessing=Preprocessing(resize=256, crop=224),
        augmentation="resized-crop-flip",
        train=images,
        test=Subset(images, []),
        digest=folder_digest(root),
    )
