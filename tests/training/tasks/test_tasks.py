"""Tasks: real digits, IDX files in both forms, folders of pictures, and clear words where data are missing."""

import gzip
import struct
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from training.tasks import TASKS, fashion_mnist, open_task
from training.tasks.task import stratified_split
from zoo.errors import ImageError, TaskError, UnknownNameError
from zoo.models.spec import Preprocessing


def test_digits_are_split_the_same_way_every_time_and_the_indices_are_recorded(tmp_path):
    task, again = open_task("digits", data_dir=tmp_path), open_task("digits", data_dir=tmp_path)
    assert (len(task.train), len(task.test), task.num_classes) == (1438, 359, 10)
    assert task.split == again.split
    assert sorted([*task.split["train"], *task.split["test"]]) == list(range(1797))
    assert min(Counter(task.test.labels).values()) >= 34
    pixels = np.asarray(task.test[0])
    assert pixels.shape == (8, 8) and pixels.dtype == np.uint8 and pixels.max() == 255


def test_digits_show_what_their_labels_say(tmp_path):
    from sklearn.datasets import load_digits

    task, bunch = open_task("digits", data_dir=tmp_path), load_digits()
    for place, source in list(enumerate(task.split["test"]))[:20]:
        assert task.test.labels[place] == bunch.target[source]
        assert np.abs(np.asarray(task.test[place]) / 255 * 16 - bunch.images[source]).max() < 0.04


def write_idx(folder, *, train=30, test=20, zipped=False, cut=0):
    """The four IDX files of a made-up Fashion-MNIST."""
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    for prefix, count in (("train", train), ("t10k", test)):
        images = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        contents = {
            f"{prefix}-images-idx3-ubyte": struct.pack(">IIII", 0x803, count, 28, 28) + images.tobytes(),
            f"{prefix}-labels-idx1-ubyte": struct.pack(">II", 0x801, count) + bytes(i % 10 for i in range(count)),
        }
        for name, content in contents.items():
            content = content[: len(content) - cut]
            path = folder / (f"{name}.gz" if zipped else name)
            path.write_bytes(gzip.compress(content) if zipped else content)
    return folder


@pytest.mark.parametrize("zipped", [True, False])
def test_fashion_mnist_is_read_from_a_folder_of_idx_files(zipped, tmp_path):
    task = open_task(f"fashion-mnist:{write_idx(tmp_path / 'idx', zipped=zipped)}", data_dir=tmp_path)
    assert (len(task.train), len(task.test)) == (30, 20)
    assert (task.test.labels[13], task.test[13].size, task.class_names[9]) == (3, (28, 28), "Ankle boot")


@pytest.mark.skipif(not fashion_mnist.DEBIAN_FOLDER.exists(), reason="no package dataset-fashion-mnist of Debian")
def test_debians_package_holds_the_published_pictures(tmp_path):
    task = open_task("fashion-mnist", data_dir=tmp_path)
    assert Counter(task.train.labels) == dict.fromkeys(range(10), 6000)
    assert Counter(task.test.labels) == dict.fromkeys(range(10), 1000)
    assert (task.train.labels[0], task.test.labels[0]) == (9, 9), "both sets begin with an ankle boot"
    # The mean and the standard deviation of the training pixels that most users normalize with.
    assert task.train.pixels.mean() / 255 == pytest.approx(0.2860, abs=5e-5)
    assert task.train.pixels.std() / 255 == pytest.approx(0.3530, abs=5e-5)


def test_torchvisions_own_copy_is_found_below_the_data_folder(tmp_path):
    (tmp_path / "FashionMNIST").mkdir()
    write_idx(tmp_path / "FashionMNIST" / "raw")
    assert len(open_task("fashion-mnist", data_dir=tmp_path).train) == 30


def test_a_download_that_fails_says_which_files_go_where(tmp_path, monkeypatch):
    def refuse(*words, **named):
        raise RuntimeError("no route")

    monkeypatch.setattr("torchvision.datasets.FashionMNIST.__init__", refuse)
    monkeypatch.setattr(fashion_mnist, "DEBIAN_FOLDER", tmp_path / "none")
    with pytest.raises(
        TaskError, match=r"t10k-labels-idx1-ubyte\.gz into a folder and give --task fashion-mnist:FOLDER"
    ):
        open_task("fashion-mnist", data_dir=tmp_path)


@pytest.mark.parametrize(("options", "said"), [({"cut": 5}, "truncated"), ({"cut": 10**6}, "is not an IDX file")])
def test_a_damaged_idx_file_is_named(options, said, tmp_path):
    with pytest.raises(TaskError, match=said):
        open_task(f"fashion-mnist:{write_idx(tmp_path / 'idx', **options)}", data_dir=tmp_path)


def test_a_missing_idx_file_is_named(tmp_path):
    with pytest.raises(TaskError, match="contains neither train-images-idx3-ubyte"):
        open_task(f"fashion-mnist:{tmp_path}", data_dir=tmp_path)


def write_pictures(root, classes=("cat", "dog"), each=5):
    for name in classes:
        (root / name).mkdir(parents=True)
        for number in range(each):
            Image.new("RGB", (30 + number, 40), (number, 0, 0)).save(root / name / f"{number}.png")


def test_a_folder_with_train_and_test_is_taken_as_it_is(tmp_path):
    write_pictures(tmp_path / "train")
    write_pictures(tmp_path / "test", each=2)
    task = open_task(f"imagefolder:{tmp_path}", data_dir=tmp_path)
    assert (len(task.train), len(task.test), task.class_names, task.split) == (10, 4, ("cat", "dog"), {})
    assert task.train[7].size == (32, 40)
    assert task.preprocessing == Preprocessing(resize=224, crop=224, fit="pad")


def test_a_folder_of_classes_is_split_and_the_split_recorded(tmp_path):
    write_pictures(tmp_path, each=50)
    task = open_task(f"imagefolder:{tmp_path}", data_dir=tmp_path)
    assert Counter(task.test.labels) == {0: 10, 1: 10}
    assert sorted([*task.split["train"], *task.split["test"]]) == list(range(100))


def names_in(images):
    return {images.images.paths[index] for index in images.indices}


def test_an_added_picture_moves_at_most_one_other_one(tmp_path):
    write_pictures(tmp_path, each=12)
    before = open_task(f"imagefolder:{tmp_path}", data_dir=tmp_path)
    digests = {before.digest}
    for number in range(100, 112):
        Image.new("RGB", (9, 9)).save(tmp_path / "cat" / f"{number}.png")
        after = open_task(f"imagefolder:{tmp_path}", data_dir=tmp_path)
        old = names_in(before.train) | names_in(before.test)
        assert len((names_in(before.test) ^ names_in(after.test)) & old) <= 1
        before = after
        digests.add(after.digest)
    assert len(digests) == 13 and Counter(before.test.labels) == {0: 5, 1: 2}


@pytest.mark.parametrize("counts", [(2, 3), (1, 2), (8, 8), (40, 3)])
def test_every_class_of_an_unsplit_folder_has_a_training_picture_and_its_share_of_test_pictures(counts, tmp_path):
    for name, each in zip(("cat", "dog"), counts, strict=True):
        write_pictures(tmp_path, classes=(name,), each=each)
    task = open_task(f"imagefolder:{tmp_path}", data_dir=tmp_path)
    shares = {label: max(1, round(each / 5)) for label, each in enumerate(counts) if each > 1}
    assert Counter(task.test.labels) == shares
    assert all(number >= 1 for number in Counter(task.train.labels).values()) and set(task.train.labels) == {0, 1}


def test_a_train_folder_without_a_test_folder_is_not_taken_for_classes(tmp_path):
    write_pictures(tmp_path / "train")
    write_pictures(tmp_path / "valid")
    with pytest.raises(TaskError, match="train/ but neither test/ nor val/"):
        open_task(f"imagefolder:{tmp_path}", data_dir=tmp_path)


def test_too_few_pictures_for_a_test_set_are_refused(tmp_path):
    write_pictures(tmp_path, each=1)
    with pytest.raises(TaskError, match="the test set is empty"):
        open_task(f"imagefolder:{tmp_path}", data_dir=tmp_path)


def test_a_picture_that_cannot_be_decoded_is_named(tmp_path):
    write_pictures(tmp_path / "train")
    write_pictures(tmp_path / "val")
    (tmp_path / "val" / "cat" / "0.png").write_bytes(b"nothing")
    with pytest.raises(ImageError, match=r"/val/cat/0\.png: the data is not an image"):
        open_task(f"imagefolder:{tmp_path}", data_dir=tmp_path).test[0]


@pytest.mark.parametrize(
    ("classes", "test_classes", "said"),
    [
        ((), None, r"contains 0 class folder\(s\)"),
        (("cat",), None, "at least 2"),
        (("a", "b"), ("a", "c"), "different classes"),
    ],
)
def test_a_folder_that_is_no_task_is_refused(classes, test_classes, said, tmp_path):
    write_pictures(tmp_path / "train" if test_classes else tmp_path, classes)
    if test_classes:
        write_pictures(tmp_path / "test", test_classes)
    with pytest.raises(TaskError, match=said):
        open_task(f"imagefolder:{tmp_path}", data_dir=tmp_path)


@pytest.mark.parametrize("name", ["imagefolder", "imagefolder:/no/such/folder", "digits:7"])
def test_a_wrong_argument_is_refused(name, tmp_path):
    with pytest.raises(TaskError):
        open_task(name, data_dir=tmp_path)


def test_an_unknown_task_lists_the_known_ones(tmp_path):
    with pytest.raises(UnknownNameError, match=f"known: {', '.join(sorted(TASKS))}"):
        open_task("nonsense", data_dir=tmp_path)


def test_a_stratified_split_takes_its_share_of_every_class():
    labels = [0] * 100 + [1] * 10 + [2] * 2 + [3]
    rest, part = stratified_split(labels, share=0.2, seed=0)
    assert Counter(labels[i] for i in part) == {0: 20, 1: 2, 2: 1}
    assert sorted(rest + part) == list(range(len(labels))) and part == sorted(part)
    assert stratified_split(labels, share=0.0, seed=0)[1] == []
    assert stratified_split(labels, share=0.2, seed=1)[1] != part
    # Computed before num_held_out was written: the splits of digits and hf must stay.
    assert stratified_split([0] * 10 + [1] * 7 + [2] * 3 + [3], share=0.2, seed=0)[1] == [4, 6, 13, 19]
    rest, part = stratified_split(labels, share=0.9, seed=0)
    assert Counter(labels[i] for i in rest) == {0: 10, 1: 1, 2: 1, 3: 1}, "no class is held out whole"


def test_pictures_without_classes_lie_anywhere_and_only_methods_without_labels_train_on_them(tmp_path, zoo_command):
    write_pictures(tmp_path / "deep" / "er", classes=("a",), each=3)
    Image.new("RGB", (9, 9)).save(tmp_path / "top.jpg")
    (tmp_path / "notes.txt").write_text("no picture")
    task = open_task(f"unlabelled:{tmp_path}", data_dir=tmp_path)
    assert (len(task.train), len(task.test), task.class_names) == (4, 0, ("unlabelled",))
    assert task.train[3].size == (9, 9)
    words = [
        "train",
        "--task",
        f"unlabelled:{tmp_path}",
        "--architecture",
        "resnet10-quarter",
        "--set",
        "image_size=32",
    ]
    refused = zoo_command(*words, "--objective", "gaussian", "--output", tmp_path / "no")
    assert refused.code == 2 and "has no classes to learn" in refused.err
    done = zoo_command(*words, "--set", "epochs=1", "--objective", "simclr", "--output", tmp_path / "features")
    assert done.code == 0, done.err
    for command in (["evaluate"], ["certify", "--sigma", "0.5", "--output", tmp_path / "log.tsv"]):
        refused = zoo_command(command[0], tmp_path / "features", "--task", "digits", *command[1:])
        assert refused.code == 2 and "is untrained, so its predictions are meaningless" in refused.err


@pytest.mark.parametrize(("name", "said"), [("unlabelled", "needs a folder"), ("unlabelled:/no", "is not a folder")])
def test_a_folder_of_unlabelled_pictures_must_be_there(name, said, tmp_path):
    with pytest.raises(TaskError, match=said):
        open_task(name, data_dir=tmp_path)
    with pytest.raises(TaskError, match="contains 0 picture"):
        open_task(f"unlabelled:{tmp_path}", data_dir=tmp_path)
