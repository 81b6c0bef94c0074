"""scikit-learn's bundled 8x8 digits: 1,797 real handwritten digits, no download.

The test part of UCI "Optical recognition of handwritten digits" (Alpaydin and Kaynak 1998). The set has no published
split: a fifth of every class, drawn with a fixed seed, is the test set.
"""

from pathlib import Path

import numpy as np

from training.tasks.task import ArrayImages, Subset, Task, stratified_split
from zoo.errors import TaskError
from zoo.models.spec import Preprocessing

SPLIT_SEED = 0
TEST_SHARE = 0.2


def open_digits(argument: str | None, data_dir: Path) -> Task:
    """The task digits: gray 8x8 pictures of ten classes, used at 3x32x32.

    Raises: TaskError if scikit-learn is not installed or an argument is given.
    """
    if argument is not None:
        raise TaskError(f"the task digits takes no argument, got {argument!r}")
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise TaskError("the task digits needs scikit-learn: pip install 'certified-zoo[demo]'") from error
    bunch = load_digits()
    images = ArrayImages(np.rint(bunch.images * (255 / 16)).astype(np.uint8), bunch.target.tolist())
    train, test = stratified_split(images.labels, share=TEST_SHARE, seed=SPLIT_SEED)
    return Task(
        name="digits",
        class_names=tuple("0123456789"),
        preprocessing=Preprocessing(resize=32, crop=32),
        augmentation="none",
        train=Subset(images, train),
        test=Subset(images, test),
        split={"seed": SPLIT_SEED, "train": train, "test": test},
    )
