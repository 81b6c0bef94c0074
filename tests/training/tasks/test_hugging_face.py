"""Data sets of the Hugging Face Hub, written and read by `datasets` itself; nothing is downloaded."""

import io
import sys
from types import SimpleNamespace

import datasets
import numpy as np
import pytest
from PIL import Image

from training.tasks import open_task
from training.tasks.duplicates import duplicates_sentence
from zoo.errors import ImageError, RequestError, TaskError

CLASSES = ["cat", "dog", "owl"]
FEATURES = {"picture": datasets.Image(), "name": datasets.Value("string"), "kind": datasets.ClassLabel(names=CLASSES)}


@pytest.fixture(autouse=True)
def _without_progress_bars():
    datasets.disable_progress_bars()


def rows(count, *, labels=None, mode="RGB"):
    """A picture is 10 + label wide."""
    labels = [index % 3 for index in range(count)] if labels is None else labels
    images = [Image.new(mode, (10 + max(label, 0), 10)) for label in labels]
    columns = {"picture": images, "name": [str(index) for index in range(count)], "kind": labels}
    return datasets.Dataset.from_dict(columns, features=datasets.Features(FEATURES))


def write(folder, splits):
    (folder / "data").mkdir(parents=True)
    for name, split in splits.items():
        split.to_parquet(folder / "data" / f"{name}-00000-of-00001.parquet")
    return folder


def open_local(folder, data_dir):
    return open_task(f"hf:{folder}", data_dir=data_dir)


def widths(images):
    return [images[index].width - 10 for index in range(len(images))]


def test_columns_are_found_by_their_types_and_splits_by_their_names(tmp_path):
    task = open_local(write(tmp_path / "pets", {"train": rows(9), "test": rows(4)}), tmp_path)
    assert (task.name, task.class_names) == ("hf:pets", ("cat", "dog", "owl"))
    assert list(task.train.labels) == widths(task.train) == [0, 1, 2] * 3
    assert list(task.test.labels) == widths(task.test) == [0, 1, 2, 0]
    assert task.split == {"rule": "the data set's own splits train and test"}
    assert (task.preprocessing.crop, task.augmentation) == (224, "resized-crop-flip")


def test_data_that_datasets_saved_to_disk_are_read_too(tmp_path):
    datasets.DatasetDict(train=rows(9), validation=rows(4)).save_to_disk(tmp_path / "saved")
    task = open_local(tmp_path / "saved", tmp_path)
    assert (len(task.train), len(task.test)) == (9, 4)
    assert task.split == {"rule": "the data set's own splits train and validation"}


def test_without_a_second_split_a_fifth_of_every_class_is_the_recorded_test_set(tmp_path):
    rows(30).save_to_disk(tmp_path / "saved")
    task, again = (open_local(tmp_path / "saved", tmp_path) for _ in range(2))
    assert sorted(task.test.labels) == [0, 0, 1, 1, 2, 2] and widths(task.test) == list(task.test.labels)
    assert sorted([*task.split["train"], *task.split["test"]]) == list(range(30))
    assert task.split == again.split


def test_a_test_split_without_labels_is_passed_over(tmp_path):
    hidden = rows(3, labels=[-1, -1, -1])
    folder = write(tmp_path / "d", {"train": rows(9), "test": hidden, "validation": rows(5)})
    assert len(open_local(folder, tmp_path).test) == 5


def test_a_training_split_with_a_picture_without_label_is_refused(tmp_path):
    folder = write(tmp_path / "d", {"train": rows(3, labels=[0, -1, 1]), "test": rows(3)})
    with pytest.raises(TaskError, match=r"has 1 picture\(s\) without a label in the split train"):
        open_local(folder, tmp_path)


def test_other_data_in_the_folder_have_another_digest(tmp_path):
    folders = [write(tmp_path / name, {"train": rows(count)}) for name, count in (("a", 9), ("b", 12))]
    digests = [open_local(folder, tmp_path).digest for folder in folders]
    assert digests[0] != digests[1] and digests[0] == open_local(folders[0], tmp_path).digest != ""


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_gray_and_cmyk_pictures_become_rgb(mode, tmp_path):
    task = open_local(write(tmp_path / "d", {"train": rows(6, mode=mode)}), tmp_path)
    assert task.train[0].mode == "RGB"


@pytest.mark.parametrize("mode", ["I;16", "F"])
def test_pictures_of_more_than_8_bits_are_refused(mode, tmp_path):
    pixels = np.zeros((8, 8), dtype=np.uint16 if mode == "I;16" else np.float32)
    path = tmp_path / "deep.tiff"
    Image.fromarray(pixels).save(path)
    encoded = {"bytes": path.read_bytes(), "path": None}
    columns = {"picture": [encoded] * 10, "name": ["x"] * 10, "kind": [0, 1] * 5}
    deep = datasets.Dataset.from_dict(columns, features=datasets.Features(FEATURES))
    task = open_local(write(tmp_path / "d", {"train": deep}), tmp_path)
    with pytest.raises(ImageError, match=r"image \d of hf:d \(train\): the image has more than 8 bits"):
        task.train[0]


def encoded_rows(contents):
    """One row per encoded picture; None is a missing one."""
    encoded = [None if content is None else {"bytes": content, "path": None} for content in contents]
    columns = {"picture": encoded, "name": ["x"] * len(encoded), "kind": [index % 3 for index in range(len(encoded))]}
    return datasets.Dataset.from_dict(columns, features=datasets.Features(FEATURES))


def png(image, **options):
    buffer = io.BytesIO()
    image.save(buffer, "PNG", **options)
    return buffer.getvalue()


def test_pictures_are_decoded_as_the_server_decodes_them(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    turned, clear = Image.new("RGB", (4, 8)), Image.new("RGBA", (5, 5), (0, 0, 0, 0))
    contents = [png(turned, exif=exif), png(clear), b"no picture", None]
    images = open_local(write(tmp_path / "d", {"train": encoded_rows(contents), "test": rows(3)}), tmp_path).train
    assert images[0].size == (8, 4) and images[1].getpixel((0, 0)) == (255, 255, 255)
    with pytest.raises(ImageError, match=r"^image 2 of hf:d \(train\): the data is not an image"):
        images[2]
    with pytest.raises(ImageError, match=r"^image 3 of hf:d \(train\) is missing"):
        images[3]


@pytest.mark.parametrize("is_saved", [True, False])
def test_other_files_in_the_folder_do_not_change_the_digest(is_saved, tmp_path):
    if is_saved:
        rows(9).save_to_disk(tmp_path / "d")
    else:
        write(tmp_path / "d", {"train": rows(9)})
    before = open_local(tmp_path / "d", tmp_path).digest
    (tmp_path / "d" / "notes.txt").write_text("a bystander")
    (tmp_path / "d" / "model").mkdir()
    (tmp_path / "d" / "model" / "model.safetensors").write_bytes(b"weights")
    assert open_local(tmp_path / "d", tmp_path).digest == before


def test_pictures_in_both_splits_are_told(tmp_path):
    same, other = png(Image.new("RGB", (4, 8))), png(Image.new("RGB", (4, 9)))
    folder = write(tmp_path / "d", {"train": encoded_rows([same, other]), "test": encoded_rows([same])})
    assert duplicates_sentence(open_local(folder, tmp_path)) == (
        "1 test picture(s) are training pictures too, byte for byte, such as image 0 of hf:d (test), which equals "
        "image 0 of hf:d (train): measured accuracies count them as unseen"
    )


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        (
            {"other": datasets.Image()},
            r"2 columns of type Image, expected one; its columns: picture \(Image\), .*other",
        ),
        ({"kind": datasets.Value("int64")}, "0 columns of type ClassLabel"),
        ({"breed": datasets.ClassLabel(names=["x", "y", "z"])}, "2 columns of type ClassLabel"),
        ({"kind": datasets.ClassLabel(names=["x"])}, "a classifier needs at least 2"),
    ],
)
def test_a_data_set_that_leaves_the_columns_open_is_refused(columns, said, tmp_path):
    features = datasets.Features(FEATURES | columns)
    values = {name: [0] * 3 for name in features} | {"name": ["x"] * 3}
    values |= {
        name: [Image.new("L", (4, 4))] * 3 for name, kind in features.items() if isinstance(kind, datasets.Image)
    }
    folder = write(tmp_path / "d", {"train": datasets.Dataset.from_dict(values, features=features)})
    with pytest.raises(TaskError, match=said):
        open_local(folder, tmp_path)


def test_several_splits_none_of_which_is_train_are_listed(tmp_path):
    datasets.DatasetDict(red=rows(3), blue=rows(3)).save_to_disk(tmp_path / "saved")
    with pytest.raises(TaskError, match="has no split train; it has red, blue"):
        open_local(tmp_path / "saved", tmp_path)


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("", "needs a data set"),
        (":mnist", "not of the form hf:OWNER/NAME"),
        (":owner/name@", "not of the form hf:OWNER/NAME"),
        (":/no/such/folder", "is not a folder"),
    ],
)
def test_a_name_that_is_none_is_answered_with_the_form(argument, said, tmp_path):
    with pytest.raises(TaskError, match=said):
        open_task(f"hf{argument}", data_dir=tmp_path)


def test_an_empty_folder_is_no_data_set(tmp_path):
    (tmp_path / "d").mkdir()
    with pytest.raises(TaskError, match="cannot be read as a data set"):
        open_local(tmp_path / "d", tmp_path)


def test_without_the_package_the_message_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(TaskError, match=r"pip install 'certified-zoo\[datasets\]'"):
        open_task("hf:owner/name", data_dir=tmp_path)


def test_a_folder_that_datasets_would_take_for_the_hubs_is_pointed_out(tmp_path, monkeypatch):
    (tmp_path / "owner/name").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TaskError, match=r"give hf:\./owner/name"):
        open_task("hf:owner/name", data_dir=tmp_path)


def test_revision_and_configuration_reach_the_hub_and_the_commit_comes_back(tmp_path, monkeypatch):
    asked = {}

    def load_dataset_builder(repository, **named):
        asked.update(named, repository=repository)
        splits = datasets.DatasetDict(train=rows(9), test=rows(3))
        return SimpleNamespace(download_and_prepare=lambda: None, as_dataset=lambda: splits, hash="c0ffee")

    monkeypatch.setattr(datasets, "load_dataset_builder", load_dataset_builder)
    task = open_task("hf:owner/name@v1.0:small", data_dir=tmp_path)
    assert asked == {
        "repository": "owner/name", "revision": "v1.0", "name": "small", "cache_dir": str(tmp_path / "huggingface"),
    }  # fmt: skip
    assert (task.name, task.digest) == ("hf:owner/name:small", "c0ffee")


def test_what_the_hub_refuses_is_one_message(tmp_path, monkeypatch):
    def load_dataset_builder(*words, **named):
        raise datasets.exceptions.DatasetNotFoundError("it does not exist")

    monkeypatch.setattr(datasets, "load_dataset_builder", load_dataset_builder)
    with pytest.raises(TaskError, match="hf:owner/name cannot be loaded from the Hugging Face Hub: it does not exist"):
        open_task("hf:owner/name", data_dir=tmp_path)


def test_a_proxy_that_prevents_the_download_is_named(monkeypatch, tmp_path):
    from huggingface_hub.utils import close_session

    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:9")
    close_session()  # its connections are made once in a process
    with pytest.raises(RequestError, match=r"ALL_PROXY has the scheme socks5://"):
        open_task("hf:owner/name", data_dir=tmp_path)
