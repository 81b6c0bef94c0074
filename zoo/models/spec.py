"""ModelSpec: everything a server needs to know about a model, read from and written to `config.json`.

The outer structure is timm's (`architecture`, `num_classes`, `pretrained_cfg`), so timm can load the checkpoints of
this project. Everything that timm does not know is under the single key `certified`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from zoo.errors import CheckpointError, RequestError
from zoo.models.denoiser_config import DenoiserConfig, JsonScalar
from zoo.models.layout import ONNX, WEIGHTS
from zoo.models.measurements import CalibrationResult, CertificationResult, EmpiricalResult, Strict, is_none
from zoo.models.migration import SCHEMA_VERSION, STEPS, migrate

Fit = Literal["crop", "pad"]
"""How a picture of any aspect becomes a square."""

UNKNOWN = "unknown"
"""The task or the objective of an imported network for which none was stated."""

UNTRAINED = "untrained"
"""The objective of the random classifier behind a denoiser that was trained without `--init`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimmNetwork:
    """The facts with which timm builds a network and gives it another last layer or another first one.

    `first_conv` and `classifier` name these layers; a network may have several. If `is_of_fixed_size`, timm builds the
    network for the image size of the config. `stride` is the ratio of the image's size to that of the last feature map.
    """

    name: str
    args: Mapping[str, Any] = field(default_factory=dict)
    first_conv: str | tuple[str, ...] | None = "conv1"
    classifier: str | tuple[str, ...] | None = "fc"
    is_of_fixed_size: bool = False
    stride: int | None = 32


class Preprocessing(Strict):
    """Parameters of the conversion of a decoded picture to `x_CHW`.

    `crop` is the side of the square that the network sees. With the fit `crop`, the shorter side is resized to `resize`
    pixels and the centre is cropped; a config without `fit` means this. With the fit `pad`, the longer side is resized
    to `crop` pixels and the picture is centred on a white square; `resize` equals `crop`. Both use 8 bits. Then the
    pixels are divided by 255. `mean` and `std` belong to the network's first layer, per channel on the [0, 1] pixel
    scale.
    """

    resize: int = Field(gt=0)
    crop: int = Field(gt=0)
    fit: Fit = "crop"
    interpolation: Literal["nearest", "bilinear", "bicubic"] = "bilinear"
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)

    @model_validator(mode="after")
    def _is_possible(self) -> Preprocessing:
        if self.crop > self.resize:
            raise ValueError(f"crop {self.crop} is larger than resize {self.resize}")
        if self.fit == "pad" and self.crop != self.resize:
            raise ValueError(f"the fit pad resizes to the crop, so resize must be {self.crop}, got {self.resize}")
        if min(self.std) <= 0:
            raise ValueError(f"std must be positive, got {self.std}")
        return self

    def describe(self) -> str:
        """The tensor that the noise is added to and a certificate covers, in words."""
        side = self.crop
        if self.fit == "pad":
            steps = f"resize of the longer side to {side} and pad to {side}x{side} with white"
        else:
            steps = f"resize {self.resize} and center crop {side}"
        return f"3x{side}x{side} in [0, 1], after {steps}"


def usual_resize(crop: int) -> int:
    """The usual length of the shorter side before a centre crop: 8/7 of the crop, such as 256 for 224."""
    return round(crop * 8 / 7)


class ReportedNumber(Strict):
    """A number that others published about an imported file, and its source. This project did not measure it.

    `value` and `unit` are as they were printed. `conditions` describes in words what the number depends on, such as
    sigma and n.
    """

    what: str = Field(min_length=1, max_length=200)
    value: float
    unit: str = Field(default="%", max_length=40)
    task: str = Field(min_length=1, max_length=200)
    conditions: str | None = Field(default=None, max_length=500)
    source: str = Field(min_length=1, max_length=500)
    url: str | None = Field(default=None, max_length=500, pattern=r"^https?://\S+$")


class Origin(Strict):
    """The external file that a checkpoint's weights were imported from, and the numbers that its authors report.

    `network` is the place of the imported network in a file that contains several.
    """

    file: str
    sha256: str
    format: str
    network: str | None = Field(default=None, exclude_if=is_none)
    url: str | None = None
    licence: str | None = None
    catalog_id: str | None = None
    reported: tuple[ReportedNumber, ...] = ()


class Quantization(Strict):
    """How a network of 8-bit weights and activations was made from its parent, a network in float32.

    The ranges of the activations are those on `num_images` random training images of `task` with noise of `sigma`.
    `float_nodes` are the nodes of the graph that stay in float32, apart from those that no runtime quantizes.
    `agreement` is the share of `num_compared` further noisy training images that both networks give the same class.
    """

    task: str
    sigma: float = Field(gt=0)
    num_images: int = Field(ge=1)
    seed: int = Field(ge=0)
    float_nodes: tuple[str, ...]
    num_compared: int = Field(ge=1)
    agreement: float = Field(ge=0, le=1)


class CertifiedConfig(Strict):
    """The part of the config that timm does not know: how the network was trained, and its measured results.

    `recipe` is the complete resolved recipe, and `recipe_digest` its SHA-256. An imported checkpoint has an `origin`
    instead of recipe, digest, seed and epochs. If `has_trained_head` is false, the last layer is untrained, and its
    predictions are meaningless until it is fine-tuned. `parent` is the SHA-256 of the weights that training started
    from, and `parent_id` the Hub or catalog id of those weights, if they have one. `licence` is the licence of weights
    trained here, as their maker states it. `batch_statistics` says in words which images the running statistics of
    batch normalization were computed from. `num_ranks` is the number of training processes, and `device` the device
    type they used, such as cuda. The last digits of the weights depend on both, and so does the precision if the recipe
    leaves it to the device; both are None where they were not recorded. `num_train_images` is the number of images that
    the weights were fitted to. `limit_per_class` is the number of labels used per class, where it was limited.

    With a `denoiser`, these fields describe the classifier behind it, except for `sigma`, which is the denoiser's, and
    the measured results, which are those of both together.

    A network whose `precision` is int8 was made by a `quantization`. `parent` is then the identity of the float
    network, whose card states its recipe, seed and epochs. The other fields describe both networks, except for the
    results.
    """

    schema_version: int = SCHEMA_VERSION
    objective: str
    hyper_parameters: dict[str, JsonScalar] = Field(default_factory=dict)
    sigma: float | None = Field(default=None, ge=0)
    task: str
    class_names: tuple[str, ...]
    parent: str | None = None
    parent_id: str | None = None
    licence: str | None = None
    seed: int | None = None
    epochs: int | None = Field(default=None, ge=0)
    recipe_digest: str | None = None
    recipe: dict[str, Any] = Field(default_factory=dict)
    origin: Origin | None = None
    has_trained_head: bool = True
    batch_statistics: str | None = None
    num_ranks: int | None = Field(default=None, ge=1, exclude_if=is_none)
    device: str | None = Field(default=None, exclude_if=is_none)
    limit_per_class: int | None = Field(default=None, ge=1)
    num_train_images: int | None = Field(default=None, ge=1)
    preprocessing: Preprocessing
    denoiser: DenoiserConfig | None = Field(default=None, exclude_if=is_none)
    precision: Literal["int8"] | None = Field(default=None, exclude_if=is_none)
    quantization: Quantization | None = Field(default=None, exclude_if=is_none)
    empirical: EmpiricalResult | None = None
    certification: CertificationResult | None = None
    calibration: CalibrationResult | None = Field(default=None, exclude_if=is_none)


class ModelSpec(Strict):
    """The specification of one network: its architecture, its input, and how it was trained."""

    architecture: str
    num_classes: int = Field(gt=0)
    certified: CertifiedConfig

    @model_validator(mode="after")
    def _names_every_class(self) -> ModelSpec:
        if len(self.certified.class_names) != self.num_classes:
            raise ValueError(f"{len(self.certified.class_names)} class names for {self.num_classes} classes")
        if self.num_classes == 1 and self.certified.has_trained_head:
            raise ValueError("a trained head needs at least 2 classes, but num_classes is 1")
        certification = self.certified.certification
        counted = () if certification is None else certification.classes or ()
        if any(counts.label >= self.num_classes for counts in counted):
            raise ValueError(f"a certified class has no name: there are {self.num_classes} classes")
        return self

    @model_validator(mode="after")
    def _fits_its_denoiser(self) -> ModelSpec:
        denoiser, crop = self.certified.denoiser, self.preprocessing.crop
        if denoiser is None:
            return self
        if self.certified.sigma != denoiser.sigma:
            raise ValueError(f"sigma is {self.certified.sigma}, but the denoiser was trained for {denoiser.sigma}")
        if crop % denoiser.shape.downsampling:
            raise ValueError(
                f"the input of {crop} pixels is not a multiple of the denoiser's downsampling, "
                f"{denoiser.shape.downsampling}"
            )
        return self

    @model_validator(mode="after")
    def _is_quantized_as_a_whole(self) -> ModelSpec:
        certified = self.certified
        if (certified.precision is None) != (certified.quantization is None):
            raise ValueError("precision and quantization must both be given or both be left out")
        if certified.quantization is not None and (certified.parent is None or certified.denoiser is not None):
            raise ValueError("a quantized network must have a parent and no denoiser")
        return self

    @property
    def network_file(self) -> str:
        """The name of the file that contains the network, without its denoiser if it has one."""
        return WEIGHTS if self.certified.precision is None else ONNX

    @property
    def preprocessing(self) -> Preprocessing:
        return self.certified.preprocessing

    @property
    def name(self) -> str:
        """The name `architecture.tag` in timm's style, for example `resnet50.consistency_s50_pets`."""
        sigma = self.certified.sigma
        level = "" if sigma is None else f"_s{sigma * 100:g}"
        if self.certified.denoiser is not None:
            level = f"_denoised{level}"
        task = re.sub(r"[^A-Za-z0-9]+", "-", self.certified.task).strip("-")
        precision = "" if self.certified.precision is None else f"_{self.certified.precision}"
        return f"{self.architecture}.{self.certified.objective}{level}_{task}{precision}"

    def behind(self, denoiser: DenoiserConfig) -> ModelSpec:
        """The spec of this classifier, unchanged, behind a denoiser; nothing is measured of the two together.

        Raises: RequestError if the classifier's input does not fit the denoiser.
        """
        measured = dict.fromkeys(("empirical", "certification", "calibration"))
        certified = self.certified.model_copy(update={"denoiser": denoiser, "sigma": denoiser.sigma, **measured})
        try:
            return ModelSpec.model_validate({**dict(self), "certified": certified})
        except ValidationError as error:
            raise RequestError(f"{self.name} does not fit the denoiser: {error.errors()[0]['msg']}") from error

    def quantized(self, quantization: Quantization, *, parent: str, parent_id: str | None) -> ModelSpec:
        """The spec of this network with 8-bit weights, of which nothing is measured.

        Args:
            quantization: How the 8-bit network was made.
            parent: The identity of this network, see `zoo.models.identity`.
            parent_id: The Hub or catalog id of this network, if it has one.
        """
        of_the_parent = ("seed", "epochs", "recipe_digest", "num_ranks", "device")
        measured = ("empirical", "certification", "calibration")
        made = {"precision": "int8", "quantization": quantization, "parent": parent, "parent_id": parent_id}
        update = {**dict.fromkeys((*of_the_parent, *measured)), "recipe": {}, **made}
        certified = self.certified.model_copy(update=update)
        return ModelSpec.model_validate({**dict(self), "certified": certified})

    def with_licence(self, licence: str) -> ModelSpec:
        """The same model with the licence that its maker, or the authors of an imported file, give the weights."""
        origin = self.certified.origin
        stated: dict[str, Any] = (
            {"licence": licence} if origin is None else {"origin": origin.model_copy(update={"licence": licence})}
        )
        return self.model_copy(update={"certified": self.certified.model_copy(update=stated)})

    def to_config(self, timm: TimmNetwork) -> dict[str, Any]:
        """The contents of `config.json`. timm builds the same network from `timm`."""
        pre = self.preprocessing
        config: dict[str, Any] = {
            "architecture": timm.name,
            "num_classes": self.num_classes,
            "label_names": list(self.certified.class_names),
            "pretrained_cfg": {
                "tag": self.name.partition(".")[2],
                "input_size": [3, pre.crop, pre.crop],
                "fixed_input_size": timm.is_of_fixed_size,
                "interpolation": pre.interpolation,
                "crop_pct": pre.crop / pre.resize,
                "crop_mode": "border" if pre.fit == "pad" else "center",
                "mean": list(pre.mean),
                "std": list(pre.std),
                "num_classes": self.num_classes,
                "pool_size": None if timm.stride is None else [math.ceil(pre.crop / timm.stride)] * 2,
                "first_conv": timm.first_conv,
                "classifier": timm.classifier,
            },
            "certified": {"architecture": self.architecture, **self.certified.model_dump(mode="json")},
        }
        if timm.args:
            config["model_args"] = dict(timm.args)
        return config

    @classmethod
    def from_config(cls, config: object, *, source: str) -> ModelSpec:
        """The spec in a parsed `config.json` of this schema version or an earlier one; `source` names it in errors.

        Raises: CheckpointError if this project did not write the file, its schema is newer, or a value is invalid.
        """
        if not isinstance(config, dict) or not isinstance(config.get("certified"), dict):
            raise CheckpointError(f"{source} has no 'certified' section: it is not a config of this zoo")
        section = migrate(dict(config["certified"]), source=source, steps=STEPS)
        architecture = section.pop("architecture", None)
        try:
            spec = cls.model_validate(
                {"architecture": architecture, "num_classes": config.get("num_classes"), "certified": section}
            )
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise CheckpointError(f"{source}: {where or 'config'}: {first['msg']}") from error
        return spec
