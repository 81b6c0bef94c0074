"""The pictures below a folder, with one folder per class or without classes, listed but not decoded.

Hidden entries are not data: notebooks and file managers keep copies of pictures in them. Checkpoints that runs write
below the folder are not data either.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from training.tasks.contents import LabelledPath
from training.tasks.task import listed
from zoo.errors import TaskError
from zoo.models.decoding import SUFFIXES
from zoo.models.layout import WEIGHTS

HIDDEN_FOLDERS = ("__MACOSX", "@eaDir")
"""Folders of copies whose names do not begin with a dot: those of macOS's zip archives and of Synology's thumbnails."""

OUTPUT_MARKS = (".run", WEIGHTS)
"""Entries by which the output folder of a run is recognized, from the start of the run on."""


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is not data."""
    return name.startswith(".") or name in HIDDEN_FOLDERS


def folders_in(root: Path) -> list[Path]:
    """The folders directly in `root` that may hold data, by name."""
    return [folder for folder in _visible_folders(root) if not _is_output(folder)]


def pictures_in(folder: Path) -> list[str]:
    """The paths of the pictures directly in a folder, by name. A broken link counts: a data set must not shrink."""
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if _is_picture(entry.name) and not entry.is_dir())
    return [f"{folder}/{name}" for name in names]


def pictures_below(root: Path) -> Iterator[str]:
    """The paths of the pictures at any depth below `root`, folder by folder."""
    yield from pictures_in(root)
    for folder in folders_in(root):
        if not folder.is_symlink():  # as in _is_output
            yield from pictures_below(folder)


def labelled_pictures(root: Path) -> tuple[tuple[str, ...], list[LabelledPath]]:
    """The names of the class folders in `root`, and the pictures of each class, which lie directly in its folder.

    A class may have no pictures. Raises: TaskError if there are pictures in folders inside of the class folders.
    """
    folders = folders_in(root)
    _require_flat(root, folders)
    pictures = [(path, label) for label, folder in enumerate(folders) for path in pictures_in(folder)]
    return tuple(folder.name for folder in folders), pictures


def _require_flat(root: Path, folders: list[Path]) -> None:
    """Raises TaskError for pictures in deeper folders: the parts of a split, or copies of the pictures above them."""
    nested = {}
    for folder in folders:
        picture = next((path for inner in folders_in(folder) for path in pictures_below(inner)), None)
        if picture is not None:
            nested[folder.name] = picture
    if nested:
        raise TaskError(
            f"{root}: {listed(list(nested))} cannot be classes, because they contain folders with pictures, such as "
            f"{next(iter(nested.values()))}: the pictures of a class must be directly in its folder; name the parts of "
            "a split train/ and test/ (or val/)"
        )


def _is_picture(name: str) -> bool:
    return not is_hidden(name) and name.lower().endswith(SUFFIXES)


def _visible_folders(root: Path) -> list[Path]:
    with os.scandir(root) as entries:
        names = sorted(entry.name for entry in entries if entry.is_dir())
    return [root / name for name in names if not is_hidden(name)]


def _is_output(folder: Path) -> bool:
    """Whether a run wrote the folder, or runs wrote folders in it and it holds no pictures: a search or a study."""
    if any((folder / mark).exists() for mark in OUTPUT_MARKS):
        return True
    inner = [each for each in _visible_folders(folder) if not each.is_symlink()]  # a link may lead in a circle
    return any(map(_is_output, inner)) and next(pictures_below(folder), None) is None
