"""Pictures that are in the training set and in the test set, byte for byte."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable
from typing import Protocol, runtime_checkable

from training.tasks.task import LabelledImages, Subset, Task

NUM_BYTES_AT_FIRST = 4096


@runtime_checkable
class EncodedPictures(Protocol):
    """Pictures that are kept encoded."""

    def name_of(self, index: int) -> str:
        """The name of a picture in messages."""
        ...

    def num_bytes(self, index: int) -> int:
        """The size of the encoded picture."""
        ...

    def encoded(self, index: int, *, most: int | None = None) -> bytes:
        """The encoded picture, or its first `most` bytes."""
        ...


Place = tuple[EncodedPictures, int]


def duplicates_sentence(task: Task) -> str | None:
    """A sentence on the files that are in both sets of the task, byte for byte; None if there are none.

    Pictures that are kept decoded are not compared. A file is read only if one of its size is in the other set.
    """
    train, test = _places(task.train), _places(task.test)
    for key in (_num_bytes, _first_bytes, _content):
        train, test = _in_both(train, test, key)
    if not test:
        return None
    (pictures, index), (others, other) = test[0], next(place for place in train if _content(place) == _content(test[0]))
    return (
        f"{len(test)} test picture(s) are training pictures too, byte for byte, such as {pictures.name_of(index)}, "
        f"which equals {others.name_of(other)}: measured accuracies count them as unseen"
    )


def _in_both(
    train: list[Place], test: list[Place], key: Callable[[Place], Hashable]
) -> tuple[list[Place], list[Place]]:
    train_keys, test_keys = list(map(key, train)), list(map(key, test))
    common = set(train_keys) & set(test_keys)
    return (
        [place for place, each in zip(train, train_keys, strict=True) if each in common],
        [place for place, each in zip(test, test_keys, strict=True) if each in common],
    )


def _num_bytes(place: Place) -> int:
    return place[0].num_bytes(place[1])


def _first_bytes(place: Place) -> bytes:
    return hashlib.sha256(place[0].encoded(place[1], most=NUM_BYTES_AT_FIRST)).digest()


def _content(place: Place) -> bytes:
    return hashlib.sha256(place[0].encoded(place[1])).digest()


def _places(images: LabelledImages) -> list[Place]:
    """Where each picture is kept; nothing for pictures that are kept decoded."""
    if isinstance(images, Subset):
        inner = _places(images.images)
        return [inner[index] for index in images.indices] if inner else []
    return [(images, index) for index in range(len(images))] if isinstance(images, EncodedPictures) else []
