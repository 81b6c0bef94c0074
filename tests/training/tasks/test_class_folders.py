"""Folders as people keep them: hidden entries, outputs of runs and deeper folders are no classes and no pictures."""

import shutil
from collections import Counter

import pytest
from PIL import Image

from tests.training.tasks import fake_trees
from training.tasks import open_task
from training.tasks.class_folders import pictures_in
from training.tasks.duplicates import duplicates_sentence
from zoo.errors import TaskError


def write(path, shade=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), (shade, 0, 0)).save(path)


@pytest.fixture
def pictures(tmp_path):
    """An unsplit folder of three classes with eight different pictures each."""
    root = tmp_path / "pictures"
    for place, name in enumerate(("cat", "dog", "emu")):
        for number in range(8):
            write(root / name / f"{number}.png", shade=10 * place + number)
    return root


def opened(root):
    return open_task(f"imagefolder:{root}", data_dir=root)


def same(task, other):
    return (task.class_names, task.split, task.digest, list(task.train.labels), list(task.test.labels)) == (
        other.class_names, other.split, other.digest, list(other.train.labels), list(other.test.labels),
    )  # fmt: skip


@pytest.mark.parametrize(
    "entry",
    [
        ".ipynb_checkpoints/0-checkpoint.png", "cat/.ipynb_checkpoints/0-checkpoint.png", "cat/._0.png", ".DS_Store",
        "cat/.DS_Store", "__MACOSX/cat/._0.png", "__MACOSX/cat/0.png", "cat/@eaDir/0.png/thumb.jpg", ".git/0.png",
        "cat/.hidden.jpg",
    ],
)  # fmt: skip
def test_a_hidden_entry_changes_nothing(entry, pictures):
    before = opened(pictures)
    (pictures / entry).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(pictures / "cat" / "0.png", pictures / entry)
    assert same(opened(pictures), before) and before.class_names == ("cat", "dog", "emu")


@pytest.mark.parametrize(
    "entry",
    [
        "model/.run/state.pt", "model/model.safetensors", "search/trial-0/.run/state.pt", "cat/model/.run/state.pt",
        "study/checkpoints/a/model.safetensors", "study/results/a.json", "notes.txt", "log.tsv", "cat/labels.csv",
    ],
)  # fmt: skip
def test_outputs_of_runs_and_bystanders_change_nothing(entry, pictures):
    if entry.startswith("study/results"):
        (pictures / "study/checkpoints/a/.run").mkdir(parents=True)
    before = opened(pictures)
    (pictures / entry).parent.mkdir(parents=True, exist_ok=True)
    (pictures / entry).write_bytes(b"output")
    if entry.endswith("model.safetensors"):
        write((pictures / entry).with_name("certified_accuracy.png"))
    assert same(opened(pictures), before)


def test_a_picture_that_changes_or_comes_or_goes_changes_the_digest(pictures):
    digests = [opened(pictures).digest]
    write(pictures / "cat" / "8.png")
    digests.append(opened(pictures).digest)
    (pictures / "cat" / "8.png").write_bytes(b"longer than before, or shorter")
    digests.append(opened(pictures).digest)
    (pictures / "cat" / "8.png").unlink()
    digests.append(opened(pictures).digest)
    assert len(set(digests[:3])) == 3 and digests[3] == digests[0]


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("Training", "Testing"),
        ("training_set", "test_set"),
        ("Train", "Validation"),
        ("seg_train/seg_train", "seg_test"),
    ],
)
def test_the_parts_of_a_split_are_not_taken_for_classes(train, test, tmp_path):
    for part in (train, test):
        for name in ("glioma", "notumor"):
            write(tmp_path / part / name / "0.png")
    with pytest.raises(TaskError, match=r"cannot be classes.*name the parts of a split train/ and test/") as refused:
        opened(tmp_path)
    for part in (train, test):
        assert part.partition("/")[0] in str(refused.value)


def test_copies_in_a_folder_inside_of_a_class_are_refused(pictures):
    write(pictures / "cat" / "thumbnails" / "0.png")
    with pytest.raises(
        TaskError, match=r"cat cannot be classes, .*cat/thumbnails/0\.png: the pictures of a class must"
    ):
        opened(pictures)
    shutil.rmtree(pictures / "cat" / "thumbnails")
    (pictures / "cat" / "empty").mkdir()
    assert opened(pictures).class_names == ("cat", "dog", "emu")


def test_a_link_in_a_circle_ends(pictures):
    (pictures / "cat" / "loop").symlink_to(pictures / "cat", target_is_directory=True)
    with pytest.raises(TaskError, match="cannot be classes"):
        opened(pictures)
    assert len(open_task(f"unlabelled:{pictures}", data_dir=pictures).train) == 24


def test_a_class_folder_without_pictures_is_refused(pictures):
    (pictures / "fox").mkdir()
    (pictures / "fox" / "0.heic").write_bytes(b"a picture that cannot be read")
    with pytest.raises(TaskError, match=r"no picture is in the class folder\(s\) fox: .*\.png"):
        opened(pictures)


def test_a_class_that_is_gone_from_train_is_refused(tmp_path):
    for entry in ("train/cat/0.png", "train/dog/0.png", "test/cat/1.png", "test/dog/1.png", "test/emu/1.png"):
        write(tmp_path / entry)
    with pytest.raises(TaskError, match=r"different classes: \['emu'\]"):
        opened(tmp_path)
    (tmp_path / "train" / "emu").mkdir()
    with pytest.raises(TaskError, match=r"no picture is in the class folder\(s\) emu"):
        opened(tmp_path)


def test_a_broken_link_is_named_and_does_not_vanish(pictures):
    (pictures / "cat" / "8.png").symlink_to(pictures / "nothing")
    assert pictures_in(pictures / "cat")[-1].endswith("8.png")
    with pytest.raises(TaskError, match=r"cannot read .*cat/8\.png: No such file"):
        opened(pictures)


def test_pictures_without_classes_leave_out_the_same(tmp_path):
    for entry in ("a/0.jpg", "b/c/1.GIF", ".thumbnails/0.jpg", "a/._0.jpg", "model/certified_accuracy.png"):
        write(tmp_path / entry)
    (tmp_path / "model" / ".run").mkdir()
    task = open_task(f"unlabelled:{tmp_path}", data_dir=tmp_path)
    assert task.train.paths == [f"{tmp_path}/a/0.jpg", f"{tmp_path}/b/c/1.GIF"]


def test_published_folders_leave_out_hidden_entries(tmp_path):
    fake_trees.write_tree(tmp_path / "birds")
    fake_trees.write_caltech101(tmp_path / "caltech")
    before = open_task(f"birdsnap:{tmp_path / 'birds'}", data_dir=tmp_path)
    whole = open_task(f"caltech101:{tmp_path / 'caltech'}", data_dir=tmp_path)
    for entry in ("birds/train/.cache/0.jpg", "birds/train/Wood_Duck/._0.jpg", "birds/test/.ipynb_checkpoints/0.jpg"):
        write(tmp_path / entry)
    for entry in (".ipynb_checkpoints/0.jpg", "accordion/._image_0001.jpg"):
        write(tmp_path / "caltech/caltech101/101_ObjectCategories" / entry)
    assert same(open_task(f"birdsnap:{tmp_path / 'birds'}", data_dir=tmp_path), before)
    assert same(open_task(f"caltech101:{tmp_path / 'caltech'}", data_dir=tmp_path), whole)


def test_equal_files_in_train_and_test_are_told(tmp_path):
    for number, entry in enumerate(("train/cat/0.png", "train/dog/0.png", "test/cat/0.png", "test/dog/0.png")):
        write(tmp_path / entry, shade=number)
    assert duplicates_sentence(opened(tmp_path)) is None
    shutil.copy(tmp_path / "train/cat/0.png", tmp_path / "test/dog/copy.png")
    said = duplicates_sentence(opened(tmp_path))
    assert said is not None and said.startswith("1 test picture(s) are training pictures too, byte for byte, such as ")
    assert f"{tmp_path}/test/dog/copy.png, which equals {tmp_path}/train/cat/0.png" in said
    assert duplicates_sentence(open_task(f"imagefolder:{tmp_path}#dog,cat", data_dir=tmp_path)) is not None


def test_equal_files_on_both_sides_of_a_split_made_here_are_told(pictures):
    paths = [path for name in ("cat", "dog", "emu") for path in pictures_in(pictures / name)]
    for path in paths[1:8]:
        shutil.copy(paths[0], path)
    assert str(duplicates_sentence(opened(pictures))).startswith("2 test picture(s)")
    assert Counter(opened(pictures).test.labels) == {0: 2, 1: 2, 2: 2}


def test_pictures_kept_decoded_are_not_compared(tmp_path):
    assert duplicates_sentence(open_task("digits", data_dir=tmp_path)) is None
