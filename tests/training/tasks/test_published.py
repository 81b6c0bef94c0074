"""The paper's data sets and ImageNet, each from a tiny tree in the layout of its official archive."""

import shutil
import urllib.request
from urllib.error import URLError

import numpy as np
import pytest
from PIL import Image
from torchvision.datasets import Flowers102

from tests.training.tasks import fake_trees
from training.tasks import open_task
from training.tasks.table import PUBLISHED, TASKS
from training.tasks.task import ArrayImages
from zoo.errors import TaskError

NAMES = [row.name for row in PUBLISHED]

# Class names, and the labels of the training and of the test pictures in their order.
EXPECTED = {
    "imagenet": (("n01440764", "n01443537"), [0, 0, 0, 1, 1, 1], [0, 0, 1, 1]),
    "food": (("apple_pie", "pizza"), [1, 1, 1, 0, 0, 0], [1, 1, 0, 0]),
    "cifar10": (("airplane", "bird"), [0, 1] * 5, [0, 1]),
    "cifar100": (("apple", "baby"), [0, 1], [0, 1]),
    "birdsnap": (("Acadian_Flycatcher", "Wood_Duck"), [0, 0, 0, 1, 1, 1], [0, 0, 1, 1]),
    "sun397": (("abbey", "apartment_building/outdoor"), [0, 0, 1, 1], [0, 1]),
    "caltech256": (("ak47", "clutter"), [0] * 60 + [1] * 60, [0, 0, 1, 1]),
    "cars": (("AM General Hummer SUV 2000", "Acura RL Sedan 2012"), [1, 0, 1], [0, 1]),
    "aircraft": (("707-320", "Cessna 172"), [1, 0, 1], [0]),
    "dtd": (("banded", "zigzagged"), [0, 1, 0, 1], [0, 1]),
    "pets": (("Abyssinian", "American Bulldog"), [0, 0, 1, 1], [0, 1]),
    "caltech101": (("accordion", "airplanes"), [0] * 30 + [1] * 30, [0] * 3 + [1] * 3),
    "flowers": (tuple(Flowers102.classes), [1, 0, 0, 1], [1, 0]),
}


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes the tree of the task named and returns the folder to give after its name."""
    fake_trees.accept_any_checksum(monkeypatch)

    def write_tree(name):
        root = tmp_path / "data"
        writer = fake_trees.write_tree if name == "birdsnap" else getattr(fake_trees, f"write_{name}")
        writer(root)
        return root

    return write_tree


def labels_shown(images):
    """What the fake pictures say of their own class."""
    if isinstance(images, ArrayImages):
        return [int(np.asarray(image).max()) for image in images]
    return [images[index].width - fake_trees.WIDTH for index in range(len(images))]


@pytest.mark.parametrize("name", NAMES)
def test_split_classes_and_pictures_are_those_of_the_official_layout(name, write, tmp_path):
    task = open_task(f"{name}:{write(name)}", data_dir=tmp_path / "unused")
    class_names, train_labels, test_labels = EXPECTED[name]
    assert task.class_names == class_names and task.name == name
    assert (list(task.train.labels), list(task.test.labels)) == (train_labels, test_labels)
    assert {type(label) for label in (*task.train.labels, *task.test.labels)} == {int}  # what batches are made of
    assert (labels_shown(task.train), labels_shown(task.test)) == (train_labels, test_labels)
    assert task.split == {"rule": TASKS[name].split} and task.augmentation == "resized-crop-flip"
    assert task.preprocessing.fit == "crop"
    assert not (tmp_path / "unused").exists()


@pytest.mark.parametrize("name", NAMES)
def test_no_picture_is_decoded_before_it_is_asked_for(name, write, tmp_path, monkeypatch):
    folder = write(name)

    def refuse(*words):
        raise AssertionError("a picture was opened")

    monkeypatch.setattr(Image, "open", refuse)
    assert len(open_task(f"{name}:{folder}", data_dir=tmp_path).test.labels) > 0


@pytest.mark.parametrize("name", NAMES)
def test_data_are_found_below_the_data_folder_without_a_download(name, write, tmp_path, monkeypatch):
    monkeypatch.setattr(urllib.request, "urlopen", None)
    folder = write(name)
    if TASKS[name].subfolder:
        (tmp_path / "below").mkdir()
        folder = shutil.move(folder, tmp_path / "below" / TASKS[name].subfolder).parent
    assert open_task(name, data_dir=folder).class_names == EXPECTED[name][0]


@pytest.mark.parametrize("name", NAMES)
def test_a_copy_of_another_size_is_opened_and_the_difference_said(name, write, tmp_path):
    row, task = TASKS[name], open_task(f"{name}:{write(name)}", data_dir=tmp_path)
    assert task.deviations[: len(row.deviations)] == row.deviations
    assert f"This copy has {len(task.train)} training images, a complete copy {row.train:,}." in task.deviations
    assert f"This copy has {len(task.test)} test images, a complete copy {row.test:,}." in task.deviations


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_without_the_data_is_answered_with_what_goes_where(name, tmp_path):
    row = TASKS[name]
    with pytest.raises(TaskError) as caught:
        open_task(f"{name}:{tmp_path}", data_dir=tmp_path / "unused")
    message = str(caught.value)
    assert message.startswith(f"{row.title} cannot be read from {tmp_path}: ")
    assert f"Expected there: {row.layout}. {row.where_from} " in message and f"--task {name}:FOLDER" in message
    assert "download=True" not in message and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_download_that_fails_or_does_not_exist_is_one_message(name, tmp_path, monkeypatch):
    asked = []

    def refuse(request, *words, **named):
        asked.append(request)
        raise URLError("no route")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    with pytest.raises(TaskError, match="Expected there: "):
        open_task(name, data_dir=tmp_path)
    assert bool(asked) == TASKS[name].downloads


def test_the_table_holds_the_twelve_tasks_of_the_paper_and_imagenet():
    assert set(NAMES) == set(EXPECTED) and len(NAMES) == 13
    normalized = {row.name for row in PUBLISHED if row.preprocessing.mean != (0.0, 0.0, 0.0)}
    assert normalized == {"imagenet", "cifar10", "cifar100"}


@pytest.mark.parametrize("row", PUBLISHED, ids=NAMES)
def test_a_row_that_counts_otherwise_than_the_paper_says_so(row):
    for ours, theirs in ((row.train, row.table8.train), (row.test, row.table8.test)):
        if ours != theirs:
            assert any(f"Table 8 counts {theirs:,}" in sentence for sentence in row.deviations)


def test_every_skip_leaves_the_images_that_numbers_0_skip_2_skip_name():
    for row in PUBLISHED:
        assert row.table8.certified == len(range(0, row.table8.test, row.table8.skip))
    assert (TASKS["pets"].table8.certified, TASKS["cifar10"].table8.certified) == (525, 500)  # Table 8: 524 and 500


def test_a_listed_picture_that_is_not_on_disk_is_left_out_and_counted(write, tmp_path):
    folder = write("pets")
    whole = open_task(f"pets:{folder}", data_dir=tmp_path)
    (folder / "oxford-iiit-pet/images/Abyssinian_100.jpg").unlink()
    partial = open_task(f"pets:{folder}", data_dir=tmp_path)
    assert list(partial.train.labels) == [0, 1, 1] and partial.class_names == whole.class_names
    assert "Listed pictures that are not on disk and are left out: 1." in partial.deviations
    assert partial.digest != whole.digest


def test_the_digest_is_that_of_names_and_labels_wherever_they_lie(write, tmp_path):
    folder = write("dtd")
    shutil.copytree(folder, tmp_path / "copy")
    digests = {open_task(f"dtd:{each}", data_dir=tmp_path).digest for each in (folder, tmp_path / "copy")}
    assert len(digests) == 1 and digests != {""}


def test_a_copy_of_caltech101_may_lack_the_folder_that_is_no_class(write, tmp_path):
    folder = write("caltech101")
    shutil.rmtree(folder / "caltech101/101_ObjectCategories/BACKGROUND_Google")
    assert open_task("caltech101", data_dir=folder).class_names == EXPECTED["caltech101"][0]


def test_data_without_any_test_picture_are_refused(write, tmp_path):
    folder = write("dtd")
    for path in folder.rglob("*_0003.jpg"):
        path.unlink()
    with pytest.raises(TaskError, match="there is no test image"):
        open_task(f"dtd:{folder}", data_dir=tmp_path)


def test_lists_of_different_classes_are_refused(tmp_path):
    fake_trees.write_pets(tmp_path, test_classes=("Abyssinian", "beagle"))
    with pytest.raises(TaskError, match=r"different classes for train and test: \['American Bulldog', 'Beagle'\]"):
        open_task(f"pets:{tmp_path}", data_dir=tmp_path)


def test_lists_of_sun397_may_lie_in_their_own_folder(tmp_path):
    fake_trees.write_sun397(tmp_path, lists="SUN397/Partitions")
    assert list(open_task(f"sun397:{tmp_path}", data_dir=tmp_path).train.labels) == [0, 0, 1, 1]


def test_a_list_of_sun397_with_an_unknown_class_is_named(tmp_path):
    fake_trees.write_sun397(tmp_path)
    fake_trees.write_lines(tmp_path / "SUN397/Testing_01.txt", ["/z/zoo/sun_a1.jpg"])
    with pytest.raises(TaskError, match=r"Testing_01\.txt names /z/zoo/sun_a1\.jpg, .* has no class 'zoo'"):
        open_task(f"sun397:{tmp_path}", data_dir=tmp_path)


def test_a_cifar_file_without_the_published_checksum_is_not_unpickled(tmp_path):
    fake_trees.write_cifar10(tmp_path)
    with pytest.raises(TaskError, match=r"not found or corrupted\. Expected there: the unchanged files"):
        open_task(f"cifar10:{tmp_path}", data_dir=tmp_path)


def test_a_damaged_list_is_answered_with_what_goes_where(write, tmp_path):
    folder = write("cars")
    (folder / "stanford_cars/devkit/cars_meta.mat").write_bytes(b"nothing")
    with pytest.raises(TaskError, match="Stanford Cars cannot be read"):
        open_task(f"cars:{folder}", data_dir=tmp_path)


def test_classes_that_have_lost_their_test_pictures_keep_their_labels(tmp_path):
    fake_trees.write_tree(tmp_path, names=("a", "b", "c"), test_folder="val")
    shutil.rmtree(tmp_path / "val" / "b")
    task = open_task(f"birdsnap:{tmp_path}", data_dir=tmp_path)
    assert list(task.test.labels) == labels_shown(task.test) == [0, 0, 2, 2]
    assert "1 of 3 classes have no test image." in task.deviations


def test_a_test_folder_with_a_class_of_its_own_is_refused(tmp_path):
    fake_trees.write_tree(tmp_path)
    fake_trees.write_picture(tmp_path / "test/Dodo/0.jpg", 2)
    with pytest.raises(TaskError, match=r"contains classes that .*train does not: Dodo"):
        open_task(f"birdsnap:{tmp_path}", data_dir=tmp_path)


def test_a_whole_imagenet_has_words_for_class_names(tmp_path):
    for number in range(1000):
        (tmp_path / f"train/n{number:08d}").mkdir(parents=True)
    fake_trees.write_picture(tmp_path / "train/n00000999/0.JPEG", 0)
    fake_trees.write_picture(tmp_path / "val/n00000001/0.JPEG", 0)
    task = open_task(f"imagenet:{tmp_path}", data_dir=tmp_path)
    assert (task.class_names[0], task.class_names[999]) == ("tench", "toilet tissue")
    assert (list(task.train.labels), list(task.test.labels)) == ([999], [1])
