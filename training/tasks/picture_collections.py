"""Picture collections of Debian packages, `openclipart` and `tuxpaint`: read where installed, or from a folder.

The pictures of a class lie at any depth below its category folder. A collection has no published split: a seeded share
of every class is the test set. Equal pictures are one picture, so no test picture is a training picture too. Pictures
that the decoder refuses because of their headers are left out, and `Task.deviations` states their number.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from training.tasks.class_folders import pictures_below
from training.tasks.image_files import ImageFiles, read_bytes
from training.tasks.picture_data import without_texts
from training.tasks.task import ANY_ASPECT, Subset, Task, listed, stratified_split
from zoo.errors import ImageError, TaskError
from zoo.models.decoding import num_pixels

SPLIT_SEED = 0
TEST_SHARE = 0.4
"""The classes are small. This share leaves 60 % of a class as labels, and enough test pictures for means per class."""

SPLIT_RULE = f"share {TEST_SHARE} of every class, drawn with the seed {SPLIT_SEED}"
MIRRORED = "_mirror"


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """The pictures of a Debian package; calling it opens the task.

    `installed` is the folder of the categories in the package. `classes` are the categories that are classes; a picture
    in several of them belongs to the first. `left_out` are names of folders below a category that are not used. Of a
    picture and its double with `_mirror` at the end of its name, the double is not used.
    """

    name: str
    title: str
    package: str
    installed: Path
    classes: tuple[str, ...]
    left_out: tuple[str, ...] = ()

    def __call__(self, argument: str | None, data_dir: Path) -> Task:
        """The task from the folder `argument`, by default from below `data_dir` or from the installed package.

        The folder contains the category folders, or is one that the package was unpacked into.
        Raises: TaskError, which says how to get the package, if a class has fewer than two pictures.
        """
        root = self._find(argument, data_dir)
        pictures = _distinct_pictures({name: self._candidates(root / name) for name in self.classes}, root)
        few = [name for label, name in enumerate(self.classes) if pictures.labels.count(label) < 2]
        if few:
            raise TaskError(f"{root} has fewer than two pictures in {listed(few)}: {self._expected()}")
        images = ImageFiles(pictures.paths, pictures.labels)
        train, test = stratified_split(images.labels, share=TEST_SHARE, seed=SPLIT_SEED)
        return Task(
            name=self.name,
            class_names=self.classes,
            preprocessing=ANY_ASPECT,
            augmentation="resized-crop-flip",
            train=Subset(images, train),
            test=Subset(images, test),
            split={"rule": SPLIT_RULE, "train": train, "test": test},
            digest=hashlib.sha256("\n".join([SPLIT_RULE, *pictures.contents]).encode()).hexdigest(),
            deviations=tuple(_remarks(pictures)),
        )

    def _find(self, argument: str | None, data_dir: Path) -> Path:
        unpacked = self.installed.relative_to("/")
        folder = Path(argument).expanduser() if argument else data_dir / self.name
        candidates = [folder, folder / unpacked] if argument else [folder, folder / unpacked, self.installed]
        for root in candidates:
            if any((root / name).is_dir() for name in self.classes):
                return root
        raise TaskError(f"{' and '.join(map(str, candidates))} have no category folders: {self._expected()}")

    def _expected(self) -> str:
        return (
            f"expected are the folders {', '.join(self.classes)} of Debian's package {self.package}. Install it with "
            f"apt install {self.package}, or unpack it without installing: apt-get download {self.package} && "
            f"dpkg -x {self.package}_*.deb FOLDER, then give --task {self.name}:FOLDER"
        )

    def _candidates(self, folder: Path) -> list[str]:
        """The paths of the pictures below a category's folder, without the folders and doubles that are left out."""
        if not folder.is_dir():
            return []
        paths = sorted(pictures_below(folder))
        inner = {path: PurePath(path).relative_to(folder).parts[:-1] for path in paths}
        return [path for path in paths if not set(inner[path]) & set(self.left_out) and _original(path) not in inner]


def _original(path: str) -> str | None:
    """The path of the picture that this one mirrors; None if its name does not end in `_mirror`."""
    picture = PurePath(path)
    is_double = picture.stem.endswith(MIRRORED)
    return str(picture.with_stem(picture.stem.removesuffix(MIRRORED))) if is_double else None


@dataclass(slots=True, kw_only=True)
class _Pictures:
    """The distinct pictures of a collection, with a line per picture that identifies its name, label and content.

    `refused` maps each refused picture's path below the root to the reason. `num_ambiguous` is the number of pictures
    that were found in several classes.
    """

    paths: list[str] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    contents: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    num_equal: int = 0
    num_ambiguous: int = 0


def _distinct_pictures(candidates: Mapping[str, list[str]], root: Path) -> _Pictures:
    """The pictures of every class in order, each content once."""
    pictures = _Pictures()
    label_of: dict[bytes, int] = {}
    ambiguous: set[bytes] = set()
    for label, paths in enumerate(candidates.values()):
        for path in paths:
            below = path.removeprefix(f"{root}/")
            try:
                data = read_bytes(path)
                num_pixels(data)
            except ImageError as error:
                pictures.refused[below] = str(error)
                continue
            content = hashlib.sha256(without_texts(data)).digest()
            if content in label_of:
                pictures.num_equal += 1
                ambiguous |= {content} if label_of[content] != label else set()
                continue
            label_of[content] = label
            pictures.paths.append(path)
            pictures.labels.append(label)
            pictures.contents.append(f"{below} {label} {content.hex()}")
    pictures.num_ambiguous = len(ambiguous)
    return pictures


def _remarks(pictures: _Pictures) -> Iterator[str]:
    """Sentences on the pictures that are left out, and on those with several labels."""
    if pictures.refused:
        path, reason = next(iter(pictures.refused.items()))
        yield f"Pictures that cannot be decoded and are left out: {len(pictures.refused)}, such as {path}: {reason}."
    if pictures.num_equal:
        yield f"Equal pictures that are left out: {pictures.num_equal:,}."
    if pictures.num_ambiguous:
        yield (
            f"Pictures that are in several classes and belong to the first of these in the order of the classes: "
            f"{pictures.num_ambiguous}."
        )
