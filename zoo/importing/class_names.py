"""The class names of an imported network."""

from __future__ import annotations

from pathlib import Path

from zoo.errors import RequestError

_IMAGENET_CLASSES = 1000


def read_class_names(path: Path) -> tuple[str, ...]:
    """The class names in a text file, one per line in the order of the network's outputs. Raises: RequestError."""
    try:
        names = tuple(line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(f"{path} is not a readable text file with one class name per line: {error}") from error
    if repeated := next((name for name in names if names.count(name) > 1), None):
        raise RequestError(f"{path} names the class {repeated!r} twice: every class needs its own name")
    return names


def default_class_names(num_classes: int) -> tuple[str, ...]:
    """torchvision's names of the ImageNet classes if there are 1,000 classes, otherwise "0" to "K-1"."""
    if num_classes != _IMAGENET_CLASSES:
        return tuple(str(index) for index in range(num_classes))
    from torchvision.models import ResNet50_Weights

    return distinct(ResNet50_Weights.IMAGENET1K_V1.meta["categories"])


def distinct(names: list[str]) -> tuple[str, ...]:
    """The names, with the index appended to repeated names: ImageNet has two cranes and two maillots."""
    return tuple(f"{name} ({index})" if names.count(name) > 1 else name for index, name in enumerate(names))
