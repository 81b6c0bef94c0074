"""The table of tasks, by `NAME` or `NAME:ARGUMENT`; the argument of a published data set is its folder.

`#CLASSES` at the end selects some of the classes.
"""

from collections.abc import Callable
from pathlib import Path

from training.tasks.digits import open_digits
from training.tasks.fashion_mnist import RAW, local_fashion_mnist, open_fashion_mnist
from training.tasks.folder_readers import FirstFiles, FolderTree, imagenet_names
from training.tasks.hugging_face import open_hugging_face
from training.tasks.image_folder import open_image_folder, open_unlabelled
from training.tasks.official_splits import CifarBatches, OfficialSplits, read_pets, read_sun397
from training.tasks.picture_collections import Collection
from training.tasks.published import PublishedTask, Table8
from training.tasks.subsets import class_subset, split_selection
from training.tasks.task import Task
from training.tasks.torchvision_dataset import TorchvisionDataset
from zoo.errors import TaskError, UnknownNameError
from zoo.models.spec import Preprocessing

Opener = Callable[[str | None, Path], Task]

NO_UPSCALING_FIRST = (
    "The random crop is taken from the 32x32 picture itself and scaled to 224x224, as robust-models-transfer does; the "
    "paper says that it upscales pictures first."
)

# Normalization is the paper's (Appendix A): for ImageNet and the two CIFAR sets only.
PUBLISHED: tuple[PublishedTask, ...] = (
    PublishedTask(
        name="imagenet", title="ImageNet (ILSVRC 2012)", classes=1000, train=1_281_167, test=50_000,
        table8=Table8(train=1_281_167, test=50_000, skip=100),
        read=FolderTree(imagenet_names), split="the official training and validation pictures",
        layout="train/WORDNET_ID/*.JPEG and val/WORDNET_ID/*.JPEG (torchvision.datasets.ImageNet unpacks so)",
        source="ImageNet must be downloaded by hand after registration at https://image-net.org.",
        downloads=False, subfolder="imagenet",
        preprocessing=Preprocessing(resize=256, crop=224, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
        deviations=("The official validation pictures are the test set: official test labels are not public.",),
    ),
    PublishedTask(
        name="food", title="Food-101", classes=101, train=75_750, test=25_250,
        table8=Table8(train=75_750, test=25_250, skip=50),
        read=OfficialSplits(TorchvisionDataset("Food101"), train=("train",), test="test"),
        split="official: meta/train.json and meta/test.json, 750 and 250 per class",
        layout="food-101/meta/train.json, food-101/meta/test.json and food-101/images/CLASS/*.jpg",
        source="http://data.vision.ee.ethz.ch/cvl/food-101.tar.gz",
    ),
    PublishedTask(
        name="cifar10", title="CIFAR-10", classes=10, train=50_000, test=10_000,
        table8=Table8(train=50_000, test=10_000, skip=20),
        read=CifarBatches(TorchvisionDataset("CIFAR10")), split="official: data_batch_1 to data_batch_5 and test_batch",
        layout="the unchanged files of cifar-10-batches-py/",
        source="https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
        preprocessing=Preprocessing(
            resize=256, crop=224, mean=(0.4914, 0.4822, 0.4465), std=(0.2023, 0.1994, 0.2010)
        ),
        deviations=(NO_UPSCALING_FIRST,),
    ),
    PublishedTask(
        name="cifar100", title="CIFAR-100", classes=100, train=50_000, test=10_000,
        table8=Table8(train=50_000, test=10_000, skip=20),
        read=CifarBatches(TorchvisionDataset("CIFAR100")), split="official: train and test, fine labels",
        layout="the unchanged files of cifar-100-python/",
        source="https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
        preprocessing=Preprocessing(
            resize=256, crop=224, mean=(0.5071, 0.4867, 0.4408), std=(0.2675, 0.2565, 0.2761)
        ),
        deviations=(NO_UPSCALING_FIRST,),
    ),
    PublishedTask(
        name="birdsnap", title="Birdsnap", classes=500, train=32_677, test=8_171,
        table8=Table8(train=32_677, test=8_171, skip=16),
        read=FolderTree(), split="the folders train/ and test/ (or val/)",
        layout="train/SPECIES/*.jpg and test/SPECIES/*.jpg",
        source="The publisher lists only addresses of pictures, many of which are dead: collect the pictures by hand.",
        downloads=False, subfolder="birdsnap",
        deviations=(
            "The paper's split is not published: 80 % and 20 % of the 40,848 pictures that could still be downloaded. "
            "The official split has 47,386 and 2,443.",
        ),
    ),
    PublishedTask(
        name="sun397", title="SUN397", classes=397, train=19_850, test=19_850,
        table8=Table8(train=19_850, test=19_850, skip=39),
        read=read_sun397, split="official partition 1 of ten: Training_01.txt and Testing_01.txt, 50 and 50 per class",
        layout=(
            "SUN397/ClassName.txt, SUN397/Training_01.txt and SUN397/Testing_01.txt (or both below SUN397/Partitions), "
            "SUN397/LETTER/CLASS/*.jpg"
        ),
        source=(
            "The publisher's download is gone: SUN397.tar.gz and Partitions.zip of "
            "https://vision.princeton.edu/projects/2010/SUN must come from another copy."
        ),
        downloads=False,
        deviations=("Only the first of the ten official partitions is used.",),
    ),
    PublishedTask(
        name="caltech256", title="Caltech-256", classes=257, train=15_420, test=15_187,
        table8=Table8(train=15_420, test=15_189, skip=30),
        read=FirstFiles(dataset=TorchvisionDataset("Caltech256"), folder="caltech256/256_ObjectCategories", count=60),
        split="none published: train on the first 60 *.jpg of every class, clutter included; test on the others",
        layout="caltech256/256_ObjectCategories/NUMBER.CLASS/*.jpg",
        source="https://data.caltech.edu/records/nyy15-4j048",
        deviations=("Table 8 counts 15,189 test images, 2 more than remain after the first 60 per class.",),
    ),
    PublishedTask(
        name="cars", title="Stanford Cars", classes=196, train=8_144, test=8_041,
        table8=Table8(train=8_141, test=8_041, skip=16),
        read=OfficialSplits(TorchvisionDataset("StanfordCars"), train=("train",), test="test"),
        split="official: cars_train_annos.mat and cars_test_annos_withlabels.mat",
        layout=(
            "stanford_cars/devkit/cars_meta.mat, stanford_cars/devkit/cars_train_annos.mat, "
            "stanford_cars/cars_test_annos_withlabels.mat, stanford_cars/{cars_train,cars_test}/*.jpg"
        ),
        source="The publisher's download is gone: the archives must come from another copy.",
        downloads=False,
        deviations=("Table 8 counts 8,141 training images; the official list has 8,144.",),
    ),
    PublishedTask(
        name="aircraft", title="FGVC Aircraft", classes=100, train=6_667, test=3_333,
        table8=Table8(train=6_667, test=3_333, skip=6),
        read=OfficialSplits(TorchvisionDataset("FGVCAircraft"), train=("trainval",), test="test"),
        split="official: images_variant_trainval.txt and images_variant_test.txt",
        layout=(
            "fgvc-aircraft-2013b/data/{variants,images_variant_trainval,images_variant_test}.txt and "
            "fgvc-aircraft-2013b/data/images/*.jpg"
        ),
        source="https://www.robots.ox.ac.uk/~vgg/data/fgvc-aircraft",
        deviations=("The official validation pictures are training pictures, as in Table 8.",),
    ),
    PublishedTask(
        name="dtd", title="Describable Textures", classes=47, train=3_760, test=1_880,
        table8=Table8(train=3_760, test=1_880, skip=4),
        read=OfficialSplits(TorchvisionDataset("DTD"), train=("train", "val"), test="test"),
        split="official partition 1 of ten: train1.txt with val1.txt, and test1.txt",
        layout="dtd/dtd/labels/{train1,val1,test1}.txt and dtd/dtd/images/CLASS/*.jpg",
        source="https://www.robots.ox.ac.uk/~vgg/data/dtd",
        deviations=(
            "The official validation pictures are training pictures, as in Table 8.",
            "Only the first of the ten official partitions is used.",
        ),
    ),
    PublishedTask(
        name="pets", title="Oxford-IIIT Pet", classes=37, train=3_680, test=3_669,
        table8=Table8(train=3_680, test=3_669, skip=7),
        read=read_pets, split="official: annotations/trainval.txt and annotations/test.txt",
        layout="oxford-iiit-pet/annotations/{trainval,test}.txt and oxford-iiit-pet/images/*.jpg",
        source="https://www.robots.ox.ac.uk/~vgg/data/pets",
    ),
    PublishedTask(
        name="caltech101", title="Caltech-101", classes=101, train=3_030, test=5_647,
        table8=Table8(train=3_030, test=5_647, skip=11),
        read=FirstFiles(
            dataset=TorchvisionDataset("Caltech101"), folder="caltech101/101_ObjectCategories", count=30,
            left_out=("BACKGROUND_Google",),
        ),
        split="none published: train on the first 30 *.jpg of every class; test on the others",
        layout="caltech101/101_ObjectCategories/CLASS/*.jpg",
        source="https://data.caltech.edu/records/mzrjq-6wc02",
        deviations=("The folder BACKGROUND_Google is left out: it is not a class in Table 8.",),
    ),
    PublishedTask(
        name="flowers", title="Oxford Flowers 102", classes=102, train=2_040, test=6_149,
        table8=Table8(train=2_040, test=6_149, skip=12),
        read=OfficialSplits(TorchvisionDataset("Flowers102"), train=("train", "val"), test="test"),
        split="official, in setid.mat: trnid and valid for training, tstid for testing",
        layout="flowers-102/imagelabels.mat and setid.mat (unchanged) and flowers-102/jpg/image_*.jpg",
        source="https://www.robots.ox.ac.uk/~vgg/data/flowers/102",
        deviations=("The official validation pictures are training pictures, as in Table 8.",),
    ),
)  # fmt: skip

COLLECTIONS: tuple[Collection, ...] = (
    Collection(
        name="openclipart", title="Open Clip Art Library, release 0.18, as PNG", package="openclipart-png",
        installed=Path("/usr/share/openclipart/png"),
        classes=("animals", "food", "people", "transportation", "plants", "tools", "buildings"),
    ),
    Collection(
        name="tuxpaint", title="Tux Paint's stamps, without cartoons", package="tuxpaint-stamps-default",
        installed=Path("/usr/share/tuxpaint/stamps"),
        classes=("animals", "food", "plants", "vehicles", "household", "seasonal"),
        left_out=("cartoon",),
    ),
)  # fmt: skip

TASKS: dict[str, Opener] = {
    "digits": open_digits,
    "fashion-mnist": open_fashion_mnist,
    **{task.name: task for task in COLLECTIONS},
    "imagefolder": open_image_folder,
    "unlabelled": open_unlabelled,
    "hf": open_hugging_face,
    **{task.name: task for task in PUBLISHED},
}


def open_task(name: str, *, data_dir: Path, downloads: bool = True) -> Task:
    """The task with this name; downloads go below `data_dir`.

    With `downloads` false, published data sets and Fashion-MNIST are only looked for.

    Raises: UnknownNameError for an unknown task or class, listing the known names; TaskError if the data are missing or
    malformed, or the selection of classes is invalid.
    """
    whole, classes = split_selection(name)
    key, _, argument = whole.partition(":")
    if key not in TASKS and _is_folder(whole):
        raise TaskError(
            f"{whole} is a folder, not a task: give imagefolder:{whole} if it contains one folder per class, or "
            f"unlabelled:{whole} if it contains pictures without classes"
        )
    if key not in TASKS:
        raise UnknownNameError("task", whole, TASKS)
    task = TASKS[key](argument or (None if downloads else _local_folder(key, data_dir)), data_dir)
    return class_subset(task, classes) if classes else task


def _local_folder(key: str, data_dir: Path) -> str | None:
    """The folder that a task which could download its data is read from; None for other tasks."""
    opener = TASKS[key]
    if isinstance(opener, PublishedTask):
        return str(data_dir / opener.subfolder)
    return str(local_fashion_mnist(data_dir) or data_dir / RAW) if opener is open_fashion_mnist else None


def _is_folder(name: str) -> bool:
    try:
        return Path(name).is_dir()
    except OSError:  # too long a name for a path
        return False
