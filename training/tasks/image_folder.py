"""Any folder of pictures: `imagefolder:PATH` with a folder a class.

PATH holds `train/` and `test/` (or `val/`), each with the same class folders; or the class folders themselves, from
which a fifth of every class, drawn with a fixed seed, becomes the test set.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from training.tasks.task import LabelledImages, Subset, Task, stratified_split
from zoo.errors import TaskError
from zoo.spec import Preprocessing

SPLIT_SEED = 0
TEST_SHARE = 0.2


@dataclass(frozen=True, slots=True)
class ImageFiles:
    """Pictures that are decoded when they are asked for."""

    paths: Sequence[str]
    labels: Sequence[int]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> Image.Image:
        try:
            with Image.open(self.paths[index]) as image:
                return image.convert("RGB")
        except OSError as error:
            raise TaskError(f"{self.paths[index]} cannot be decoded: {error}") from error


def open_image_folder(argument: str | None, data_dir: Path) -> Task:
    """Pictures of any size, used at 3x224x224 after resize 256. Raises: TaskError."""
    if not argument:
        raise TaskError("the task imagefolder needs a folder: --task imagefolder:PATH")
    root = Path(argument).expanduser()
    if not root.is_dir():
        raise TaskError(f"{root} is no folder")
    test_root = next((root / name for name in ("test", "val") if (root / name).is_dir()), None)
    split: dict[str, object] = {}
    if (root / "train").is_dir() and test_root is not None:
        class_names, train = _scan(root / "train")
        test_names, test = _scan(test_root)
        if class_names != test_names:
            raise TaskError(
                f"{test_root} and {root / 'train'} hold different classes: {sorted(set(class_names) ^ set(test_names))}"
            )
    else:
        class_names, images = _scan(root)
        train_indices, test_indices = stratified_split(images.labels, share=TEST_SHARE, seed=SPLIT_SEED)
        train, test = Subset(images, train_indices), Subset(images, test_indices)
        split = {"seed": SPLIT_SEED, "train": train_indices, "test": test_indices}
    return Task(
        name=f"imagefolder:{argument}",
        class_names=class_names,
        preprocessing=Preprocessing(resize=256, crop=224),
        augmentation="resized-crop-flip",
        train=train,
        test=test,
        split=split,
    )


def _scan(root: Path) -> tuple[tuple[str, ...], LabelledImages]:
    from torchvision.datasets import ImageFolder

    try:
        folder = ImageFolder(str(root))
    except FileNotFoundError as error:
        raise TaskError(f"{root}: {error}") from error
    if len(folder.classes) < 2:
        raise TaskError(f"{root} holds {len(folder.classes)} class folder(s), a classifier needs at least 2")
    return tuple(folder.classes), ImageFiles([path for path, _ in folder.samples], folder.targets)
