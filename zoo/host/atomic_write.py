"""Atomic writes of files and directories: written under a temporary name, then renamed.

A temporary name begins with a dot, so checkpoints ignore it, and contains random digits, so no two writers share it.
The temporary file is in the folder of its target, because a rename is atomic only within one file system.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path


def write_atomically(path: Path, content: bytes | str) -> None:
    """Replaces the file by `content` after `content` is synced to disk. Text is written as UTF-8.

    Raises: OSError if the file cannot be written. The old file is then unchanged, and no temporary file is left.
    """
    write_all_atomically(path.parent, {path.name: content})


def write_all_atomically(folder: Path, contents: Mapping[str, bytes | str]) -> None:
    """Replaces the files with these names in `folder` after all contents are synced to disk. Creates the folder.

    The files are replaced one by one, in the order of `contents`, so a reader can see new files next to old ones.
    Raises: OSError if a file cannot be written. If the disk was full, all files are unchanged. No temporary file is
    left.
    """
    folder.mkdir(parents=True, exist_ok=True)
    temporary = {name: _temporary_name(folder / name) for name in contents}
    try:
        for name, content in contents.items():
            with temporary[name].open("xb") as file:
                file.write(content.encode() if isinstance(content, str) else content)
                file.flush()
                os.fsync(file.fileno())
        for name, path in temporary.items():
            path.replace(folder / name)
    finally:
        for path in temporary.values():
            _remove(path)


@contextmanager
def replaced_file(path: Path) -> Iterator[Path]:
    """A temporary path that the block writes to; the temporary file replaces `path` at the end of the block.

    For writers that take a path. If the block fails, `path` is unchanged and the temporary file is removed.
    Raises: OSError.
    """
    temporary = _temporary_name(path)
    try:
        yield temporary
        temporary.replace(path)
    finally:
        _remove(temporary)


@contextmanager
def new_directory(path: Path) -> Iterator[Path]:
    """A temporary empty directory that the block fills; it is renamed to `path` at the end of the block.

    Creates the parent folder of `path`. If the block fails, the directory is removed with its contents.
    Raises: OSError, also if `path` exists at the end of the block and is not an empty directory.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary_name(path)
    temporary.mkdir()
    try:
        yield temporary
        temporary.replace(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _temporary_name(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")


def _remove(path: Path) -> None:
    with suppress(OSError):  # an error here would hide why the write failed
        path.unlink(missing_ok=True)
