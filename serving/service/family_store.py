"""Counts the questions about each image, for all workers of a server, in a file of fixed size."""

from __future__ import annotations

import hashlib
import os
import secrets
import threading
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from zoo.errors import ServerError
from zoo.host.atomic_write import replaced_file
from zoo.host.lock import exclusive_lock

VARIABLE = "ZOO_FAMILIES"  # the environment variable that gives the workers the folder of the counts
FILE, LOCK = "families.bin", "families.lock"
MAGIC: Final = b"certified-zoo families 1\n"
SALT_BYTES, HEADER_BYTES = 32, 4096
NUM_ROWS, NUM_CELLS = 4, 2**21
NUM_BUCKETS, NUM_SLOTS = 2**16, 8
COUNT = np.dtype("<u4")
SLOT = np.dtype([("digest", "<u8", 2), ("index", "<u4"), ("unused", "<u4")])
LOCK_SECONDS = 10.0


class Families(Protocol):
    """Counts the questions about each image."""

    def index(self, *, image: bytes, question: bytes) -> int:
        """The index of a question among the questions about its image, as `FamilyStore.index`."""
        ...


class FamilyStore:
    """The index of each question among the questions about its image. Memory does not grow with the questions.

    Guarantee: different questions about one image get different indices, from 1 on, for all processes that share the
    folder. The indices may skip numbers. The same question gets its first index again while the store remembers it,
    and a new index afterwards.

    The count of an image is the smallest of four cells, which the image shares with others (a count-min sketch with
    conservative update). A cell is never below the last index of any of its images. Sharing can therefore only make an
    index too large, which lowers the alpha of a certificate and never raises it. Nothing is evicted: when many millions
    of images were asked about, all counts rise together. The cells and the places of the questions follow from a salt
    that clients do not know, so that a client cannot choose images that share cells with another's.

    A process that is killed in the middle of a call leaves at most an index that no question uses.

    Source: Cormode and Muthukrishnan 2005; Estan and Varghese 2002 (conservative update).
    """

    def __init__(self, folder: Path | None = None) -> None:
        """Opens the store in `folder`, created if missing; None keeps the counts in this process.

        Raises: ServerError if the folder cannot be used, or its file is not a store of this version.
        """
        self._folder = folder
        self._in_process = threading.Lock()
        if folder is None:
            self._salt = secrets.token_bytes(SALT_BYTES)
            self._counts: npt.NDArray[np.uint32] = np.zeros((NUM_ROWS, NUM_CELLS), COUNT)
            self._slots: npt.NDArray[Any] = np.zeros((NUM_BUCKETS, NUM_SLOTS), SLOT)
            return
        path = folder / FILE
        try:
            with self._locked():
                if not path.exists():
                    _create(path)
            self._salt = _read_salt(path)
            slots_at = HEADER_BYTES + NUM_ROWS * NUM_CELLS * COUNT.itemsize
            self._counts = np.memmap(path, COUNT, "r+", HEADER_BYTES, (NUM_ROWS, NUM_CELLS))
            self._slots = np.memmap(path, SLOT, "r+", slots_at, (NUM_BUCKETS, NUM_SLOTS))
        except (OSError, ValueError) as error:
            raise ServerError(f"the counts of questions cannot be kept in {folder}: {error}") from error

    def index(self, *, image: bytes, question: bytes) -> int:
        """The index of a question among the questions about its image.

        Args:
            image: Identifies the image and the weights.
            question: Identifies the question, including its image, its parameters and its noise.

        Raises: ServerError if another process keeps the lock.
        """
        with self._locked():
            bucket, digest = self._place_of(question)
            known = (bucket["digest"] == digest).all(axis=1)
            if known.any():
                return int(bucket["index"][known][0])
            cells = self._cells_of(image)
            rows = np.arange(NUM_ROWS)
            counts = self._counts[rows, cells]
            index = int(counts.min()) + 1
            self._counts[rows, cells] = np.maximum(counts, index)
            _remember(bucket, digest, index)
            return index

    def _cells_of(self, image: bytes) -> npt.NDArray[np.int64]:
        words = hashlib.blake2b(image, key=self._salt, digest_size=8 * NUM_ROWS).digest()
        return (np.frombuffer(words, "<u8") % NUM_CELLS).astype(np.int64)

    def _place_of(self, question: bytes) -> tuple[npt.NDArray[Any], npt.NDArray[np.uint64]]:
        """The bucket of the question, and the digest under which it is found there."""
        words = np.frombuffer(hashlib.blake2b(question, key=self._salt, digest_size=24).digest(), "<u8")
        return self._slots[int(words[0]) % NUM_BUCKETS], words[1:]

    def _locked(self) -> AbstractContextManager[object]:
        if self._folder is None:
            return self._in_process
        busy = ServerError(f"another process holds {self._folder / LOCK} for more than {LOCK_SECONDS:.0f} s")
        return exclusive_lock(self._folder / LOCK, otherwise=busy, wait=LOCK_SECONDS)


def families_folder(model_dir: Path) -> Path:
    """The folder of the counts that the parent process handed over in the environment.

    Without such a parent, it is a hidden folder of `model_dir`, the model's unpacked archive, which all workers of the
    model share.
    """
    return Path(os.environ.get(VARIABLE, model_dir / ".families"))


def _remember(bucket: npt.NDArray[Any], digest: npt.NDArray[np.uint64], index: int) -> None:
    """Writes the index into an empty slot of the bucket, or else over a slot that follows from the digest.

    The digest is erased first and written last: a process that is killed in between leaves a slot that matches nothing.
    """
    empty = np.flatnonzero((bucket["digest"] == 0).all(axis=1))
    slot = int(empty[0]) if empty.size else int(digest[0]) % NUM_SLOTS
    bucket["digest"][slot] = 0
    bucket["index"][slot] = index
    bucket["digest"][slot] = digest


def _create(path: Path) -> None:
    """Creates an empty store. All its bytes are written: a full disk would kill a process that writes to a mapped file.

    Raises: OSError.
    """
    header = (MAGIC + secrets.token_bytes(SALT_BYTES)).ljust(HEADER_BYTES, b"\0")
    with replaced_file(path) as temporary:
        temporary.touch(mode=0o600)
        with temporary.open("wb") as file:
            file.write(header)
            for row_bytes in [NUM_CELLS * COUNT.itemsize] * NUM_ROWS + [NUM_BUCKETS * NUM_SLOTS * SLOT.itemsize]:
                file.write(bytes(row_bytes))


def _read_salt(path: Path) -> bytes:
    """The salt of a store. Raises: OSError; ValueError if the file is not a store of this version."""
    size = HEADER_BYTES + NUM_ROWS * NUM_CELLS * COUNT.itemsize + NUM_BUCKETS * NUM_SLOTS * SLOT.itemsize
    with path.open("rb") as file:
        magic, salt = file.read(len(MAGIC)), file.read(SALT_BYTES)
    if magic != MAGIC or path.stat().st_size != size:
        raise ValueError(f"{path} is not a file of this version; give an empty folder")
    return salt
