"""A table row for a published data set: the paper's counts, the reader of its split, and its source."""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from training.tasks.contents import Contents
from training.tasks.task import Task
from zoo.errors import TaskError
from zoo.models.spec import Preprocessing

PIXELS = Preprocessing(resize=256, crop=224)
UNREADABLE = (OSError, RuntimeError, ValueError, LookupError, EOFError, tarfile.TarError, zipfile.BadZipFile)


class Reader(Protocol):
    """Lists the pictures below `root`, after a download if requested."""

    def __call__(self, root: Path, *, download: bool) -> Contents: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Table8:
    """A row of the paper's Table 8: its counts of images; every `skip`-th test image is certified."""

    train: int
    test: int
    skip: int

    @property
    def certified(self) -> int:
        """The number of images 0, skip, 2 skip and so on: ceil(test / skip). The paper's column rounds to nearest."""
        return -(-self.test // self.skip)


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedTask:
    """A published data set; calling it opens the task.

    `train` and `test` count the images of a complete copy. `split` describes the split. `deviations` are sentences on
    differences from the official split or from the paper. `layout` describes the expected files. `source` is the
    address of the download or, if `downloads` is false, a sentence on how to get the data. The data are below the data
    folder, in `subfolder` if that is set.
    """

    name: str
    title: str
    classes: int
    train: int
    test: int
    table8: Table8
    read: Reader
    split: str
    layout: str
    source: str
    downloads: bool = True
    subfolder: str = ""
    preprocessing: Preprocessing = PIXELS
    deviations: tuple[str, ...] = ()

    @property
    def where_from(self) -> str:
        """A sentence on how to get the data."""
        return (
            f"Without a folder, --task {self.name} downloads it from {self.source}." if self.downloads else self.source
        )

    def expected_below(self, data_dir: Path) -> str:
        """A sentence on data that are missing or damaged: the folder, their source, and the expected files."""
        source = f"a run downloads it from {self.source}" if self.downloads else self.source.rstrip(".")
        return f"{self.title} cannot be read from {data_dir / self.subfolder}: {source}; expected there: {self.layout}"

    def __call__(self, argument: str | None, data_dir: Path) -> Task:
        """The task from the folder `argument`, by default from below `data_dir`, which may start a download.

        Raises: TaskError, which describes the expected files, if the data are missing or damaged.
        """
        from scipy.io.matlab import MatReadError  # its import takes longer than that of all tasks

        root = Path(argument).expanduser() if argument else data_dir / self.subfolder
        try:
            contents = self.read(root, download=self.downloads and not argument)
        except (*UNREADABLE, MatReadError) as error:
            raise TaskError(self._unreadable_message(root, str(error))) from error
        for part, images in (("training", contents.train), ("test", contents.test)):
            if len(images) == 0:
                raise TaskError(self._unreadable_message(root, f"there is no {part} image"))
        return Task(
            name=self.name,
            class_names=contents.class_names,
            preprocessing=self.preprocessing,
            augmentation="resized-crop-flip",
            train=contents.train,
            test=contents.test,
            split={"rule": self.split},
            digest=contents.digest,
            deviations=(*self.deviations, *contents.remarks, *self._differences(contents)),
        )

    def _unreadable_message(self, root: Path, reason: str) -> str:
        reason = reason.partition(" You can use download=True")[0].rstrip(".")  # advice for programmers
        return (
            f"{self.title} cannot be read from {root}: {reason}. Expected there: {self.layout}. {self.where_from} "
            f"For data elsewhere give --task {self.name}:FOLDER, where FOLDER has the same layout."
        )

    def _differences(self, contents: Contents) -> Iterator[str]:
        counts = {
            "classes": (len(contents.class_names), self.classes),
            "training images": (len(contents.train), self.train),
            "test images": (len(contents.test), self.test),
        }
        for quantity, (count, expected) in counts.items():
            if count != expected:
                yield f"This copy has {count:,} {quantity}, a complete copy {expected:,}."
        empty = len(contents.class_names) - len(set(contents.test.labels))
        if empty > 0:
            yield f"{empty} of {len(contents.class_names)} classes have no test image."
