"""The collections of Debian packages, on small folders with the packages' traps."""

import io
from collections import Counter

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from benchmarks.picture_counts import counts_table
from training.tasks import open_task
from training.tasks.duplicates import duplicates_sentence
from training.tasks.table import COLLECTIONS
from zoo.errors import TaskError

OPENCLIPART, TUXPAINT = COLLECTIONS


def write(path, number, *, mode="RGB", title=None):
    """A picture that differs from those of other numbers."""
    path.parent.mkdir(parents=True, exist_ok=True)
    texts = PngImagePlugin.PngInfo()
    if title is not None:
        texts.add_text("Title", title)
    pixels = np.random.default_rng(number).integers(0, 256, (6, 8, len(mode)), dtype=np.uint8)
    Image.fromarray(pixels, mode).save(path, pnginfo=texts)


def write_collection(root, collection, *, each=5):
    for place, name in enumerate(collection.classes):
        for number in range(each):
            write(root / name / ("deeper/still" if number % 2 else "") / f"{number}.png", 100 * place + number)
            (root / name / f"{number}.txt").write_text("a description")
            (root / name / f"{number}.svg").write_text("<svg/>")
    return root


def opened(root, name="openclipart"):
    return open_task(f"{name}:{root}", data_dir=root)


def files(task):
    return {path for images in (task.train, task.test) for path in images.images.paths}


@pytest.mark.parametrize("collection", COLLECTIONS, ids=lambda collection: collection.name)
def test_pictures_at_any_depth_are_split_class_by_class_and_always_alike(collection, tmp_path):
    root = write_collection(tmp_path, collection)
    task, again = opened(root, collection.name), opened(root, collection.name)
    assert task.class_names == collection.classes and task.deviations == ()
    assert set(Counter(task.train.labels).values()) == {3} and set(Counter(task.test.labels).values()) == {2}
    assert (task.split, task.digest) == (again.split, again.digest)
    assert sorted(task.split["train"] + task.split["test"]) == list(range(5 * len(collection.classes)))
    write(root / collection.classes[0] / "0.png", 999)
    assert opened(root, collection.name).digest != task.digest


def test_equal_pictures_are_one_picture_whatever_their_names_and_titles(tmp_path):
    before = opened(write_collection(tmp_path, OPENCLIPART))
    write(tmp_path / "animals" / "again.png", 0)
    (tmp_path / "animals" / "linked.png").symlink_to("deeper/still/1.png")
    write(tmp_path / "food" / "titled.png", 101, title="another title")
    write(tmp_path / "tools" / "animals0.png", 0)
    task = opened(tmp_path)
    assert Counter(task.train.labels) == Counter(before.train.labels) and duplicates_sentence(task) is None
    assert [remark.rpartition(": ")[2] for remark in task.deviations] == ["4.", "1."]


def test_a_picture_in_two_classes_belongs_to_the_first(tmp_path):
    write_collection(tmp_path, OPENCLIPART)
    write(tmp_path / "buildings" / "ark.png", 7)
    write(tmp_path / "animals" / "zoo.png", 7)
    assert {path for path in files(opened(tmp_path)) if path.endswith(("ark.png", "zoo.png"))} == {
        str(tmp_path / "animals" / "zoo.png")
    }


def test_pictures_that_the_decoder_refuses_are_left_out_with_a_note(tmp_path):
    write_collection(tmp_path, OPENCLIPART)
    Image.new("1", (16_385, 1)).save(tmp_path / "food" / "0wide.png")
    Image.new("I;16", (8, 8)).save(tmp_path / "food" / "deep.png")
    (tmp_path / "plants" / "gone.png").symlink_to("nowhere.png")
    (tmp_path / "plants" / "page.png").write_text("<html>")
    task = opened(tmp_path)
    assert len(task.train) + len(task.test) == 35
    assert task.deviations == (
        "Pictures that cannot be decoded and are left out: 4, such as food/0wide.png: the image has a side of more "
        "than 16,384 pixels, the maximum.",
    )


def test_cartoons_and_mirrored_doubles_of_stamps_are_left_out(tmp_path):
    write_collection(tmp_path, TUXPAINT)
    before = files(opened(tmp_path, "tuxpaint"))
    write(tmp_path / "animals" / "cats" / "cartoon" / "lion.png", 1001)
    write(tmp_path / "vehicles" / "0_mirror.png", 1002)
    assert files(opened(tmp_path, "tuxpaint")) == before
    write(tmp_path / "vehicles" / "only_mirror.png", 1003)
    assert files(opened(tmp_path, "tuxpaint")) - before == {str(tmp_path / "vehicles" / "only_mirror.png")}


def test_transparent_parts_are_white(tmp_path):
    write_collection(tmp_path, TUXPAINT)
    for name in TUXPAINT.classes:
        for path in (tmp_path / name).rglob("*.png"):
            colour = (*np.random.default_rng(len(str(path))).integers(0, 256, 3), 0)
            buffer = io.BytesIO()
            Image.new("RGBA", (4, 4), tuple(map(int, colour))).save(buffer, "PNG")
            path.write_bytes(buffer.getvalue() + str(path).encode())
    assert opened(tmp_path, "tuxpaint").train[0].getextrema() == ((255, 255),) * 3


def test_an_unpacked_package_is_found_below_the_folder_and_below_the_data_folder(tmp_path):
    write_collection(tmp_path / "openclipart" / "usr/share/openclipart/png", OPENCLIPART)
    task = opened(tmp_path / "openclipart")
    assert open_task("openclipart", data_dir=tmp_path).digest == task.digest
    assert counts_table(task).splitlines()[2] == "| animals | 5 | 3 | 2 |"
    selected = open_task("openclipart#food,tools", data_dir=tmp_path)
    assert selected.class_names == ("food", "tools") and len(selected.train) == 6


@pytest.mark.parametrize("missing", ["everything", "plants"])
def test_a_missing_package_or_class_is_told_with_the_way_to_get_it(missing, tmp_path):
    if missing != "everything":
        write_collection(tmp_path, OPENCLIPART)
        for path in (tmp_path / missing).rglob("*.png"):
            path.unlink()
    with pytest.raises(TaskError, match=r"apt-get download openclipart-png .*--task openclipart:FOLDER"):
        opened(tmp_path)
