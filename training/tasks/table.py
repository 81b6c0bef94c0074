"""The table of tasks. `NAME` or `NAME:ARGUMENT`."""

from collections.abc import Callable
from pathlib import Path

from training.tasks.digits import open_digits
from training.tasks.fashion_mnist import open_fashion_mnist
from training.tasks.image_folder import open_image_folder
from training.tasks.task import Task
from zoo.errors import UnknownNameError

TASKS: dict[str, Callable[[str | None, Path], Task]] = {
    "digits": open_digits,
    "fashion-mnist": open_fashion_mnist,
    "imagefolder": open_image_folder,
}


def open_task(name: str, *, data_dir: Path) -> Task:
    """The task of that name; downloads, where there are any, go below `data_dir`.

    Raises: UnknownNameError, which lists the known ones; TaskError if its data are missing or malformed.
    """
    key, _, argument = name.partition(":")
    if key not in TASKS:
        raise UnknownNameError("task", name, TASKS)
    return TASKS[key](argument or None, data_dir)
