"""Fashion-MNIST (Xiao, Rasul and Vollgraf 2017): 60,000 + 10,000 gray 28x28 pictures of ten kinds of clothing.

`fashion-mnist` uses torchvision's copy below the data folder or Debian's package; without either, torchvision downloads
the data set. `fashion-mnist:PATH` reads a folder with the four IDX files, gzipped or not.
"""

import gzip
from pathlib import Path

import numpy as np
import numpy.typing as npt

from training.tasks.task import ArrayImages, Task
from zoo.errors import TaskError
from zoo.models.spec import Preprocessing

RAW = "FashionMNIST/raw"
DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")
CLASS_NAMES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
PARTS = {"train": "train", "test": "t10k"}


def open_fashion_mnist(argument: str | None, data_dir: Path) -> Task:
    """The task fashion-mnist: gray 28x28 pictures, used at 3x32x32.

    Raises: TaskError if a file is missing, damaged, or cannot be downloaded.
    """
    folder = Path(argument).expanduser() if argument else local_fashion_mnist(data_dir) or _downloaded(data_dir)
    sets = {split: _read_part(folder, prefix) for split, prefix in PARTS.items()}
    return Task(
        name="fashion-mnist",
        class_names=CLASS_NAMES,
        preprocessing=Preprocessing(resize=32, crop=32),
        augmentation="shift-flip",
        train=sets["train"],
        test=sets["test"],
    )


def local_fashion_mnist(data_dir: Path) -> Path | None:
    """The folder of torchvision's copy below `data_dir`, or of Debian's package; None if neither is there."""
    folders = (data_dir / RAW, DEBIAN_FOLDER)
    return next((folder for folder in folders if _find(folder, "train-images-idx3-ubyte") is not None), None)


def _downloaded(data_dir: Path) -> Path:
    from torchvision.datasets import FashionMNIST

    try:
        FashionMNIST(root=data_dir, download=True)
    except (OSError, RuntimeError) as error:
        raise TaskError(
            f"Fashion-MNIST could not be downloaded ({error}); put train-images-idx3-ubyte.gz, "
            "train-labels-idx1-ubyte.gz, t10k-images-idx3-ubyte.gz and t10k-labels-idx1-ubyte.gz into a folder "
            "and give --task fashion-mnist:FOLDER"
        ) from error
    return data_dir / RAW


def _read_part(folder: Path, prefix: str) -> ArrayImages:
    pixels = _read_idx(folder, f"{prefix}-images-idx3-ubyte", dimensions=3)
    labels = _read_idx(folder, f"{prefix}-labels-idx1-ubyte", dimensions=1)
    if len(pixels) != len(labels):
        raise TaskError(f"{folder}: {prefix} has {len(pixels)} images but {len(labels)} labels")
    return ArrayImages(pixels, labels.tolist())


def _read_idx(folder: Path, name: str, *, dimensions: int) -> npt.NDArray[np.uint8]:
    """The array in an IDX file of unsigned bytes: a magic number, big-endian sizes, the data (LeCun, MNIST page)."""
    path = _find(folder, name)
    if path is None:
        raise TaskError(f"{folder} contains neither {name} nor {name}.gz")
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError) as error:
        raise TaskError(f"{path} cannot be read: {error}") from error
    header = 4 + 4 * dimensions
    if data[:4] != bytes([0, 0, 8, dimensions]):
        raise TaskError(f"{path} is not an IDX file of {dimensions}-dimensional bytes")
    shape = np.frombuffer(data[4:header], dtype=">u4").tolist()
    if len(data) != header + int(np.prod(shape)):
        raise TaskError(f"{path} is truncated: {len(data)} bytes for shape {shape}")
    return np.frombuffer(data, dtype=np.uint8, offset=header).reshape(shape)


def _find(folder: Path, name: str) -> Path | None:
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)
