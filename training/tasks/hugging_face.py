"""Image-classification data sets of the Hugging Face Hub, through the optional package `datasets`.

`hf:OWNER/NAME[@REVISION][:CONFIG]` downloads. `hf:FOLDER`, where FOLDER begins with "/", "." or "~", reads the Parquet
or Arrow files of a local copy. Since version 4, `datasets` does not run a data set's code.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from PIL import Image

from training.tasks.image_files import files_digest, read_bytes
from training.tasks.task import ANY_ASPECT, LabelledImages, Subset, Task, stratified_split
from zoo.download.environment import require_usable_settings
from zoo.errors import ImageError, TaskError
from zoo.models.decoding import decode_image

TEST_SPLITS = ("test", "validation", "valid", "val", "dev")
TEST_SHARE = 0.2
SPLIT_SEED = 0
HUB_NAME = re.compile(r"(?P<repository>[\w.-]+/[\w.-]+)(@(?P<revision>[^:@]+))?(:(?P<config>.+))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A data set's splits as `datasets` opened them. `digest` is the commit, or the digest of the local files."""

    name: str
    splits: Mapping[str, Any]
    digest: str


class EncodedImages:
    """The pictures of one split, kept encoded; the label -1 marks a picture without a label."""

    def __init__(self, name: str, rows: Any, *, image_column: str, label_column: str) -> None:
        from datasets import Image as ImageFeature

        self.name = name
        self.cells = rows.select_columns([image_column]).cast_column(image_column, ImageFeature(decode=False))
        self.image_column = image_column
        self.labels = [-1 if label is None else int(label) for label in rows[label_column][:]]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> Image.Image:
        encoded = self.encoded(index)
        try:
            return decode_image(encoded)
        except ImageError as error:
            raise ImageError(f"{self.name_of(index)}: {error}", http_status=error.http_status) from error

    def name_of(self, index: int) -> str:
        return f"image {index} of {self.name}"

    def num_bytes(self, index: int) -> int:
        return len(self.encoded(index))

    def encoded(self, index: int, *, most: int | None = None) -> bytes:
        cell = self.cells[index][self.image_column]
        if cell is None:
            raise ImageError(f"{self.name_of(index)} is missing")
        inside: bytes | None = cell["bytes"]
        return read_bytes(cell["path"], most=most) if inside is None else inside[:most]


def open_hugging_face(argument: str | None, data_dir: Path) -> Task:
    """The task hf: pictures of any size and aspect, padded to 3x224x224.

    Raises: TaskError if the data set cannot be loaded, or does not have exactly one column of images and one of class
    labels.
    """
    if not argument:
        raise TaskError("the task hf needs a data set: --task hf:OWNER/NAME[@REVISION][:CONFIG] or hf:./FOLDER")
    cache = data_dir / "huggingface"
    source = _open_folder(argument, cache) if argument.startswith(("/", ".", "~")) else _open_hub(argument, cache)
    features = next(iter(source.splits.values())).features
    image_column = _only_column(source.name, features, "Image")
    label_column = _only_column(source.name, features, "ClassLabel")
    splits = {
        name: EncodedImages(f"{source.name} ({name})", rows, image_column=image_column, label_column=label_column)
        for name, rows in source.splits.items()
    }
    train, test, split = _train_and_test(source.name, splits)
    return Task(
        name=source.name,
        class_names=_class_names(source.name, features[label_column]),
        preprocessing=ANY_ASPECT,
        augmentation="resized-crop-flip",
        train=train,
        test=test,
        split=split,
        digest=source.digest,
    )


def _open_hub(argument: str, cache: Path) -> Source:
    datasets = _import_datasets()
    match = HUB_NAME.fullmatch(argument)
    if match is None:
        raise TaskError(f"hf:{argument} is not of the form hf:OWNER/NAME[@REVISION][:CONFIG] or hf:./FOLDER")
    repository, revision, config = match["repository"], match["revision"], match["config"]
    if Path(repository).exists():  # `datasets` would read it instead of the Hub
        raise TaskError(f"a local {repository} exists: give hf:./{repository} to read it, or work in another folder")
    try:
        builder = datasets.load_dataset_builder(repository, name=config, revision=revision, cache_dir=str(cache))
        builder.download_and_prepare()
        splits = builder.as_dataset()
    except (ImportError, OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        require_usable_settings()
        raise TaskError(f"hf:{argument} cannot be loaded from the Hugging Face Hub: {error}") from error
    name = f"hf:{repository}" if config is None else f"hf:{repository}:{config}"
    return Source(name=name, splits=splits, digest=str(builder.hash))


def _open_folder(argument: str, cache: Path) -> Source:
    datasets = _import_datasets()
    folder = Path(argument).expanduser()
    if not folder.is_dir():
        raise TaskError(f"{folder} is not a folder")
    was_saved = (folder / "dataset_dict.json").is_file() or (folder / "state.json").is_file()
    try:
        if was_saved:
            loaded = datasets.load_from_disk(str(folder))
            saved = [loaded] if isinstance(loaded, datasets.Dataset) else loaded.values()
            files = [file["filename"] for split in saved for file in split.cache_files]
        else:
            builder = datasets.load_dataset_builder(str(folder), cache_dir=str(cache))
            builder.download_and_prepare()
            loaded = builder.as_dataset()
            files = [file for split in (builder.config.data_files or {}).values() for file in split]
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        raise TaskError(f"{folder} cannot be read as a data set of Parquet or Arrow files: {error}") from error
    files = [str(Path(file).resolve()) for file in files]
    splits = {"train": loaded} if isinstance(loaded, datasets.Dataset) else loaded
    return Source(name=f"hf:{folder.resolve().name}", splits=splits, digest=files_digest(folder.resolve(), files))


def _import_datasets() -> ModuleType:
    try:
        import datasets
    except ImportError as error:
        raise TaskError("the task hf needs the package datasets: pip install 'certified-zoo[datasets]'") from error
    module: ModuleType = datasets
    return module


def _only_column(name: str, features: Mapping[str, Any], kind: str) -> str:
    columns = [column for column, feature in features.items() if type(feature).__name__ == kind]
    if len(columns) != 1:
        listed = ", ".join(f"{column} ({type(feature).__name__})" for column, feature in features.items())
        raise TaskError(f"{name} has {len(columns)} columns of type {kind}, expected one; its columns: {listed}")
    return columns[0]


def _class_names(name: str, feature: Any) -> tuple[str, ...]:
    if len(feature.names) < 2:
        raise TaskError(f"{name} has {len(feature.names)} class(es), a classifier needs at least 2")
    return tuple(feature.names)


def _train_and_test(
    name: str, splits: Mapping[str, EncodedImages]
) -> tuple[LabelledImages, LabelledImages, dict[str, Any]]:
    """The training images, the test images and the record of the split. Test splits have no unlabelled pictures."""
    if "train" not in splits and len(splits) > 1:
        raise TaskError(f"{name} has no split train; it has {', '.join(splits)}")
    train_name = "train" if "train" in splits else next(iter(splits))
    images = splits[train_name]
    if -1 in images.labels:
        raise TaskError(f"{name} has {images.labels.count(-1)} picture(s) without a label in the split {train_name}")
    candidates = [split for split in TEST_SPLITS if split in splits and split != train_name]
    test_name = next((split for split in candidates if -1 not in splits[split].labels), None)
    if test_name is not None:
        return images, splits[test_name], {"rule": f"the data set's own splits {train_name} and {test_name}"}
    train, test = stratified_split(images.labels, share=TEST_SHARE, seed=SPLIT_SEED)
    rule = f"share {TEST_SHARE} of every class of the split {train_name}"
    return Subset(images, train), Subset(images, test), {"rule": rule, "seed": SPLIT_SEED, "train": train, "test": test}
