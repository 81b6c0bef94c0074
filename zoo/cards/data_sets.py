"""The data sets that our tasks take, as a card names them: a literal table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSet:
    """A public data set; `licence` is that of its pictures as their publisher states it, None where we know of none.

    `hub_id` is its name among the Hub's data sets, None where its publisher has none there.
    """

    title: str
    hub_id: str | None = None
    licence: str | None = None


# FGVC-Aircraft's was read in its README; the others are as commonly stated: compare them with the publisher's page.
DATA_SETS: Mapping[str, DataSet] = {
    "digits": DataSet(
        title="UCI Optical Recognition of Handwritten Digits, test part (scikit-learn's load_digits)",
        licence="CC BY 4.0",
    ),
    "fashion-mnist": DataSet(title="Fashion-MNIST", hub_id="zalando-datasets/fashion_mnist", licence="MIT"),
    "imagenet": DataSet(
        title="ImageNet (ILSVRC 2012)",
        hub_id="ILSVRC/imagenet-1k",
        licence="ImageNet's terms of access: non-commercial research and education only",
    ),
    "food": DataSet(title="Food-101", hub_id="ethz/food101"),
    "cifar10": DataSet(title="CIFAR-10", hub_id="uoft-cs/cifar10"),
    "cifar100": DataSet(title="CIFAR-100", hub_id="uoft-cs/cifar100"),
    "birdsnap": DataSet(title="Birdsnap"),
    "sun397": DataSet(title="SUN397"),
    "caltech101": DataSet(title="Caltech-101", licence="CC BY 4.0"),
    "caltech256": DataSet(title="Caltech-256", licence="CC BY 4.0"),
    "cars": DataSet(title="Stanford Cars"),
    "aircraft": DataSet(title="FGVC-Aircraft", licence="non-commercial research only"),
    "dtd": DataSet(title="Describable Textures Dataset (DTD)", licence="research only"),
    "pets": DataSet(title="Oxford-IIIT Pets", licence="CC BY-SA 4.0"),
    "flowers": DataSet(title="Oxford 102 Flowers"),
}


def data_set_of(task: str) -> DataSet:
    """The data set of a task by its full name, `NAME[:WHERE][#CLASSES]`; one of no table is known by its name only."""
    name, _, argument = task.partition("#")[0].partition(":")
    if name == "hf":
        return DataSet(title=argument, hub_id=argument)
    return DATA_SETS.get(name, DataSet(title=name))
