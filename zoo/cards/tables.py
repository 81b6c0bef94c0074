"""Literal tables for cards: data sets, citations of training methods, and the Hub's licence identifiers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSet:
    """A public data set.

    `licence` is the licence of the images as their publisher states it, None if none is known. `hub_id` is the data
    set's id on the Hub, None if its publisher has not published it there.
    """

    title: str
    hub_id: str | None = None
    licence: str | None = None


# FGVC-Aircraft's licence is from its README. The others are as commonly stated: check them on the publisher's page.
DATA_SETS: Mapping[str, DataSet] = {
    "digits": DataSet(
        title="UCI Optical Recognition of Handwritten Digits, test part (scikit-learn's load_digits)",
        licence="CC BY 4.0",
    ),
    "fashion-mnist": DataSet(title="Fashion-MNIST", hub_id="zalando-datasets/fashion_mnist", licence="MIT"),
    "openclipart": DataSet(
        title="Open Clip Art Library (Debian's openclipart-png)", licence="public domain dedication"
    ),
    "tuxpaint": DataSet(title="Tux Paint's stamps (Debian's tuxpaint-stamps-default)", licence="GPL-2.0"),
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
    """The data set of the task `NAME[:WHERE][#CLASSES]`; a data set that is not in the table has only a title."""
    name, _, argument = task.partition("#")[0].partition(":")
    if name == "hf":
        return DataSet(title=argument, hub_id=argument)
    return DATA_SETS.get(name, DataSet(title=name))


CITATIONS: Mapping[str, str] = {
    "adversarial": "A. Madry et al. Towards Deep Learning Models Resistant to Adversarial Attacks. ICLR 2018.",
    "trades": "H. Zhang et al. Theoretically Principled Trade-off between Robustness and Accuracy. ICML 2019.",
    "smoothadv": "H. Salman et al. Provably Robust Deep Learning via Adversarially Trained Smoothed Classifiers. "
    "NeurIPS 2019.",
    "macer": "R. Zhai et al. MACER: Attack-free and Scalable Robust Training via Maximizing Certified Radius. "
    "ICLR 2020.",
    "consistency": "J. Jeong, J. Shin. Consistency Regularization for Certified Robustness of Smoothed Classifiers. "
    "NeurIPS 2020.",
    "smoothmix": "J. Jeong et al. SmoothMix: Training Confidence-calibrated Smoothed Classifiers for Certified "
    "Robustness. NeurIPS 2021.",
    "simclr": "T. Chen et al. A Simple Framework for Contrastive Learning of Visual Representations. ICML 2020.",
}


UNKNOWN_LICENCE, OTHER_LICENCE = "unknown", "other"
# Source: huggingface/hub-docs, docs/hub/repositories-licenses.md; licences of software, data and weights in general.
LICENCE_IDENTIFIERS = frozenset((
    "apache-2.0", "mit", "openrail", "afl-3.0", "artistic-2.0", "bsl-1.0", "bsd", "bsd-2-clause",
    "bsd-3-clause", "bsd-3-clause-clear", "c-uda", "cc", "cc0-1.0", "cc-by-2.0", "cc-by-2.5", "cc-by-3.0",
    "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nd-4.0",
    "cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0", "cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0",
    "cdla-sharing-1.0", "cdla-permissive-1.0", "cdla-permissive-2.0", "ecl-2.0", "epl-1.0", "epl-2.0",
    "etalab-2.0", "eupl-1.1", "agpl-3.0", "gfdl", "gpl", "gpl-2.0", "gpl-3.0", "lgpl", "lgpl-2.1", "lgpl-3.0",
    "isc", "ms-pl", "mpl-2.0", "odc-by", "odbl", "openrail++", "osl-3.0", "ofl-1.1", "ncsa", "unlicense",
    "zlib", "pddl",
))  # fmt: skip


def license_metadata(stated: str | None, *, link: str | None) -> dict[str, str]:
    """The Hub's metadata keys for a stated licence; `stated` is None if no licence was stated.

    A licence that is not one of the Hub's identifiers becomes "other", with `link`, if given, to the page that states
    it. The card's text quotes the licence as it was stated.
    """
    if stated is None:
        return {"license": UNKNOWN_LICENCE}
    if stated.lower() in LICENCE_IDENTIFIERS:
        return {"license": stated.lower()}
    metadata = {"license": OTHER_LICENCE, "license_name": "as-stated-in-the-card"}
    return metadata if link is None else {**metadata, "license_link": link}
