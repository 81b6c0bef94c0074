"""ModelSpec: all a server needs to know of a model; read from and written to `config.json`.

The outer shape is timm's (`architecture`, `num_classes`, `pretrained_cfg`), so that timm loads a checkpoint of ours;
what timm does not know stands below the one key `certified`.
"""

from __future__ import annotations

import math
import re
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from zoo.errors import CheckpointError
from zoo.models.measurements import CertificationResult, EmpiricalResult, Strict
from zoo.models.migration import SCHEMA_VERSION, STEPS, migrate

JsonScalar = bool | int | float | str | None

UNKNOWN = "unknown"
"""The task or the objective of an imported network for which none was stated."""


class Preprocessing(Strict):
    """From a decoded picture to `x_CHW`: shorter side to `resize`, centre crop to `crop`, both in 8 bits, then / 255.

    `mean` and `std` belong to the network's first layer, per channel on the [0, 1] pixel scale.
    """

    resize: int = Field(gt=0)
    crop: int = Field(gt=0)
    interpolation: Literal["nearest", "bilinear", "bicubic"] = "bilinear"
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)

    @model_validator(mode="after")
    def _is_possible(self) -> Preprocessing:
        if self.crop > self.resize:
            raise ValueError(f"crop {self.crop} is larger than resize {self.resize}")
        if min(self.std) <= 0:
            raise ValueError(f"std must be positive, got {self.std}")
        return self

    def describe(self) -> str:
        """What a certificate covers, in words: the tensor that the noise is added to."""
        return f"3x{self.crop}x{self.crop} in [0, 1], after resize {self.resize} and center crop {self.crop}"


class ReportedNumber(Strict):
    """A number that others published of a foreign file, and who said so: nobody measured it here.

    `value` and `unit` as they were printed; `conditions` are what it depends on, in words, such as sigma and n.
    """

    what: str = Field(min_length=1, max_length=200)
    value: float
    unit: str = Field(default="%", max_length=40)
    task: str = Field(min_length=1, max_length=200)
    conditions: str | None = Field(default=None, max_length=500)
    source: str = Field(min_length=1, max_length=500)
    url: str | None = Field(default=None, max_length=500, pattern=r"^https?://\S+$")


class Origin(Strict):
    """The foreign file that a checkpoint's weights were imported from, and what its authors report of it."""

    file: str
    sha256: str
    format: str
    url: str | None = None
    licence: str | None = None
    catalog_id: str | None = None
    reported: tuple[ReportedNumber, ...] = ()


class CertifiedConfig(Strict):
    """What timm does not know: how the network was made and what was measured of it.

    `recipe` is the whole resolved recipe, and `recipe_digest` its SHA-256; an imported checkpoint has neither of them,
    nor seed and epochs, but an `origin`. Without `has_trained_head` the last layer is fresh and predicts nothing before
    it is fine-tuned. `parent` is the SHA-256 of the weights it started from, `parent_id` the Hub or catalog id that
    they were found by, if it was one; `licence` is that of weights trained here, as their maker states it.
    `batch_statistics` says, in words, of which images the running statistics of batch normalization are.
    `num_ranks` processes trained it, on a `device` of that type, such as cuda: the last digits of the weights follow
    both, and so does the precision where the recipe leaves it to the device; None where they were not recorded.
    `num_train_images` counts the images that weights were fitted to; `limit_per_class` is how many labels a class were
    used, where they were limited.
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
    num_ranks: int | None = Field(default=None, ge=1)
    device: str | None = None
    limit_per_class: int | None = Field(default=None, ge=1)
    num_train_images: int | None = Field(default=None, ge=1)
    preprocessing: Preprocessing
    empirical: EmpiricalResult | None = None
    certification: CertificationResult | None = None


class ModelSpec(Strict):
    """One network: its architecture, its input, and how it was made."""

    architecture: str
    num_classes: int = Field(gt=0)
    certified: CertifiedConfig

    @model_validator(mode="after")
    def _names_every_class(self) -> ModelSpec:
        if len(self.certified.class_names) != self.num_classes:
            raise ValueError(f"{len(self.certified.class_names)} class names for {self.num_classes} classes")
        if self.num_classes == 1 and self.certified.has_trained_head:
            raise ValueError("a trained head answers at least 2 classes, and num_classes is 1")
        return self

    @property
    def preprocessing(self) -> Preprocessing:
        return self.certified.preprocessing

    @property
    def name(self) -> str:
        """`architecture.tag` in timm's manner, for example `resnet50.consistency_s50_pets`."""
        sigma = self.certified.sigma
        level = "" if sigma is None else f"_s{sigma * 100:g}"
        task = re.sub(r"[^A-Za-z0-9]+", "-", self.certified.task).strip("-")
        return f"{self.architecture}.{self.certified.objective}{level}_{task}"

    def with_licence(self, licence: str) -> ModelSpec:
        """The same model with its weights under that licence: its maker's, or of an imported file its authors'."""
        origin = self.certified.origin
        stated: dict[str, Any] = (
            {"licence": licence} if origin is None else {"origin": origin.model_copy(update={"licence": licence})}
        )
        return self.model_copy(update={"certified": self.certified.model_copy(update=stated)})

    def to_config(self, *, model_args: dict[str, Any] | None = None, timm_name: str | None = None) -> dict[str, Any]:
        """The contents of `config.json`; `timm_name` and `model_args` say how timm builds the same network."""
        pre = self.preprocessing
        config: dict[str, Any] = {
            "architecture": timm_name or self.architecture,
            "num_classes": self.num_classes,
            "label_names": list(self.certified.class_names),
            "pretrained_cfg": {
                "tag": self.name.partition(".")[2],
                "input_size": [3, pre.crop, pre.crop],
                "fixed_input_size": False,
                "interpolation": pre.interpolation,
                "crop_pct": pre.crop / pre.resize,
                "crop_mode": "center",
                "mean": list(pre.mean),
                "std": list(pre.std),
                "num_classes": self.num_classes,
                "pool_size": [math.ceil(pre.crop / 32)] * 2,
                "first_conv": "conv1",
                "classifier": "fc",
            },
            "certified": {"architecture": self.architecture, **self.certified.model_dump(mode="json")},
        }
        if model_args:
            config["model_args"] = model_args
        return config

    @classmethod
    def from_config(cls, config: object, *, source: str) -> ModelSpec:
        """The spec in a parsed `config.json`, of this schema version or an earlier one. `source` names it in errors.

        Raises: CheckpointError if the file is not ours, of a newer schema, or holds a wrong value.
        """
        if not isinstance(config, dict) or not isinstance(config.get("certified"), dict):
            raise CheckpointError(f"{source} has no 'certified' section: it is no checkpoint of this zoo")
        ours = migrate(dict(config["certified"]), source=source, steps=STEPS)
        architecture = ours.pop("architecture", None)
        try:
            spec = cls.model_validate(
                {"architecture": architecture, "num_classes": config.get("num_classes"), "certified": ours}
            )
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise CheckpointError(f"{source}: {where or 'config'}: {first['msg']}") from error
        return spec
