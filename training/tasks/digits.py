"""scikit-learn's bundled 8x8 digits: 1,797 real handwritten digits, no download.

The test part of UCI "Optical recognition of handwritten digits" (Alpaydin and Kaynak 1998). The set has no published
split: a fifth of every class, drawn with a fixed seed, is the test set.
"""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt

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
    table = _read_table()
    pixels = np.rint(table[:, :-1].reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    images = ArrayImages(pixels, table[:, -1].tolist())
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


def _read_table() -> npt.NDArray[np.int64]:
    """The rows of the data set: 64 values from 0 to 16, then the label.

    The file is read without importing scikit-learn, which takes seconds.
    """
    spec = find_spec("sklearn")
    if spec is None or spec.origin is None:
        raise TaskError("the task digits needs scikit-learn: pip install 'certified-zoo[demo]'")
    path = Path(spec.origin).parent / "datasets" / "data" / "digits.csv.gz"
    try:
        return np.loadtxt(path, delimiter=",", dtype=np.int64)
    except OSError as error:
        raise TaskError(f"cannot read the digits of the installed scikit-learn: {error}") from error
