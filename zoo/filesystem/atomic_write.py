"""Files and directories that appear whole: written under a temporary name, then renamed.

A temporary name begins with a dot and holds random digits. So a checkpoint ignores it, and no two writers share it. It
lies in the folder of its target, since a rename works within one file system only.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path


def write_atomically(path: Path, content: bytes | str) -> None:
    """Replaces the file by `content`, which is on the disk before. Text is written as UTF-8.

    Raises: OSError if it cannot be written. The file is then as it was, and nothing else is left.
    """
    write_all_atomically(path.parent, {path.name: content})


def write_all_atomically(folder: Path, contents: Mapping[str, bytes | str]) -> None:
    """Replaces the files of these names in `folder`, which is made; every content is on the disk before the first.

    The files are replaced one by one, in the order of `contents`: a reader can meet new files beside old ones.
    Raises: OSError if one cannot be written. All files are then as they were if the disk was full, and no temporary
    file is left.
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
    """A temporary name that the block writes a file to; the file replaces `path` where the block ends.

    For writers that take a name. If the block fails, `path` is as it was and the temporary file is removed.
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
    """An empty directory of a temporary name that the block fills; it becomes `path` where the block ends.

    The folder of `path` is made. If the block fails, the directory is removed with all that it holds.
    Raises: OSError, also if `path` is there by then and is not an empty directory.
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
