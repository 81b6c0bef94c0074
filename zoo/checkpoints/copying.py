"""Copies a checkpoint into a new directory. The directory appears complete or not at all."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from zoo.checkpoints.checkpoint import Checkpoint, open_checkpoint
from zoo.errors import HubError, RequestError
from zoo.host.atomic_write import new_directory


def require_new(directory: Path) -> None:
    """Raises RequestError unless `directory` does not exist, or is empty and not the current directory."""
    directory = directory.absolute()
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir()) or directory == Path.cwd()):
        raise RequestError(
            f"{directory} exists and is not an empty directory, or is the current directory: choose a new one"
        )


def install(checkpoint: Checkpoint, directory: Path) -> Checkpoint:
    """Copies a checkpoint into a new directory and returns the copy.

    The directory appears only after every copied file has been checked against the manifest.
    Raises: RequestError if `require_new` refuses `directory`, or its parent directory cannot be created;
    HubError if writing the copy fails, in which case nothing is left behind; CheckpointError if a copied file does not
    match the manifest.
    """
    require_new(directory)
    directory = directory.absolute()
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RequestError(f"cannot create {directory}: {error.strerror or error}") from error
    try:
        with new_directory(directory) as temporary:
            for name in checkpoint.published_files:
                shutil.copyfile(checkpoint.path / name, temporary / name)
            copied = open_checkpoint(temporary)
    except OSError as error:
        raise HubError(f"cannot write {directory}: {error.strerror or error}; nothing was left behind") from error
    return replace(copied, path=directory)
