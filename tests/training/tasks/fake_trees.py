"""Tiny data sets in the layouts of the official archives.

A picture of class `label` is 20 + label pixels wide, so that a test sees whether a label belongs to its picture.
"""

import json
import pickle
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

WIDTH = 20


def write_picture(path, label):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (WIDTH + label, WIDTH), (label, 100, 200)).save(path)


def write_lines(path, lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))


def write_food(root):
    """Three train and two test pictures a class; the lists do not name the classes in their alphabetical order."""
    for part, numbers in (("train", range(3)), ("test", range(3, 5))):
        lists = {name: [f"{name}/{number}" for number in numbers] for name in ("pizza", "apple_pie")}
        write_lines(root / f"food-101/meta/{part}.json", [json.dumps(lists)])
        for label, name in enumerate(("apple_pie", "pizza")):
            for entry in lists[name]:
                write_picture(root / f"food-101/images/{entry}.jpg", label)


def write_cifar(folder, files, names_file, names_key, names, labels_key):
    """Every batch holds one 32x32 picture a class, each of its label's gray."""
    folder.mkdir(parents=True)
    labels = list(range(len(names)))
    data = np.repeat(np.array(labels, dtype=np.uint8)[:, None], 3 * 32 * 32, axis=1)
    for file in files:
        (folder / file).write_bytes(pickle.dumps({"data": data, labels_key: labels}))
    (folder / names_file).write_bytes(pickle.dumps({names_key: list(names)}))


def write_cifar10(root):
    files = [f"data_batch_{number}" for number in range(1, 6)] + ["test_batch"]
    write_cifar(root / "cifar-10-batches-py", files, "batches.meta", "label_names", ("airplane", "bird"), "labels")


def write_cifar100(root):
    folder, files = root / "cifar-100-python", ["train", "test"]
    write_cifar(folder, files, "meta", "fine_label_names", ("apple", "baby"), "fine_labels")


def write_tree(root, train=3, test=2, names=("Acadian_Flycatcher", "Wood_Duck"), test_folder="test", suffix="jpg"):
    for part, count in (("train", train), (test_folder, test)):
        for label, name in enumerate(names):
            for number in range(count):
                write_picture(root / part / name / f"{number}.{suffix}", label)


def write_imagenet(root):
    write_tree(root, names=("n01440764", "n01443537"), test_folder="val", suffix="JPEG")


def write_sun397(root, lists="SUN397"):
    """Four pictures a class, one of which no list names; one class lies a folder deeper."""
    names = ("/a/abbey", "/a/apartment_building/outdoor")
    write_lines(root / "SUN397/ClassName.txt", names)
    for label, name in enumerate(names):
        for number in range(4):
            write_picture(root / f"SUN397{name}/sun_a{number}.jpg", label)
    for file, numbers in (("Training_01.txt", (2, 0)), ("Testing_01.txt", (1,))):
        write_lines(root / lists / file, [f"{name}/sun_a{number}.jpg" for name in names for number in numbers])


def write_caltech256(root):
    """62 pictures a class, and beside them a stray file and a folder, as in the archive."""
    folder = root / "caltech256/256_ObjectCategories"
    for label, name in enumerate(("ak47", "clutter")):
        for number in range(1, 63):
            write_picture(folder / f"{label + 1:03d}.{name}/{label + 1:03d}_{number:04d}.jpg", label)
    write_lines(folder / "002.clutter/RENAME2", ["mv"])
    write_picture(folder / "002.clutter/greg/002_0001.jpg", 1)


def write_caltech101(root):
    """33 pictures a class, and the folder that is no class."""
    for label, name in enumerate(("accordion", "airplanes", "BACKGROUND_Google")):
        for number in range(1, 34):
            write_picture(root / f"caltech101/101_ObjectCategories/{name}/image_{number:04d}.jpg", label)


def write_cars(root):
    names = np.array(["AM General Hummer SUV 2000", "Acura RL Sedan 2012"], dtype=object)
    folder = root / "stanford_cars"
    (folder / "devkit").mkdir(parents=True)
    savemat(folder / "devkit/cars_meta.mat", {"class_names": names})
    fields = ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2", "class", "fname")
    for part, file, classes in (
        ("train", "devkit/cars_train_annos.mat", (2, 1, 2)),
        ("test", "cars_test_annos_withlabels.mat", (1, 2)),
    ):
        rows = [(1, 1, 9, 9, number, f"{index:05d}.jpg") for index, number in enumerate(classes, 1)]
        savemat(folder / file, {"annotations": np.array(rows, dtype=[(field, object) for field in fields])})
        for *_, number, name in rows:
            write_picture(folder / f"cars_{part}" / name, number - 1)


def write_aircraft(root):
    data = root / "fgvc-aircraft-2013b/data"
    names = ("707-320", "Cessna 172")
    write_lines(data / "variants.txt", names)
    for part, images in (("trainval", {"0034309": 1, "1025794": 0, "0000001": 1}), ("test", {"0034310": 0})):
        write_lines(data / f"images_variant_{part}.txt", [f"{image} {names[label]}" for image, label in images.items()])
        for image, label in images.items():
            write_picture(data / f"images/{image}.jpg", label)


def write_dtd(root):
    names = ("banded", "zigzagged")
    for part, number in (("train", 1), ("val", 2), ("test", 3)):
        entries = [f"{name}/{name}_{number:04d}.jpg" for name in names]
        write_lines(root / f"dtd/dtd/labels/{part}1.txt", entries)
        for label, entry in enumerate(entries):
            write_picture(root / "dtd/dtd/images" / entry, label)


def write_pets(root, test_classes=("Abyssinian", "american_bulldog")):
    folder = root / "oxford-iiit-pet"
    for part, names, numbers in (
        ("trainval", ("Abyssinian", "american_bulldog"), (100, 101)),
        ("test", test_classes, (201,)),
    ):
        rows = [(f"{name}_{number}", label) for label, name in enumerate(names) for number in numbers]
        write_lines(folder / f"annotations/{part}.txt", [f"{image} {label + 1} 1 1" for image, label in rows])
        for image, label in rows:
            write_picture(folder / f"images/{image}.jpg", label)


def write_flowers(root):
    """Picture 1 to 6, of classes 1 2 1 2 1 2."""
    folder = root / "flowers-102"
    for number in range(1, 7):
        write_picture(folder / f"jpg/image_{number:05d}.jpg", (number - 1) % 2)
    savemat(folder / "imagelabels.mat", {"labels": np.array([1, 2, 1, 2, 1, 2])})
    savemat(folder / "setid.mat", {"trnid": np.array([2, 1]), "valid": np.array([5, 6]), "tstid": np.array([4, 3])})


def accept_any_checksum(monkeypatch):
    """torchvision opens only CIFAR and Flowers files with the published MD5, which made-up ones cannot have."""

    def exists(path, md5=None):
        return Path(path).is_file()

    for module in ("cifar", "flowers102"):
        monkeypatch.setattr(f"torchvision.datasets.{module}.check_integrity", exists)
