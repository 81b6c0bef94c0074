"""ModelSpec: all a server needs to know of a model; read from and written to `config.json`.

The outer shape is timm's (`architecture`, `num_classes`, `pretrained_cfg`), so that timm loads a checkpoint of ours;
what timm does not know stands below the one key `certified`.
"""

from __future__ import annotations

import math
import re
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from zoo.errors import CheckpointError

SCHEMA_VERSION = 1

JsonScalar = bool | int | float | str | None


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, ser_json_inf_nan="null")


class Preprocessing(_Strict):
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


class CertifiedAccuracy(_Strict):
    """Share of the images that are classified correctly with a certified radius of at least `radius`."""

    radius: float = Field(ge=0)
    accuracy: float = Field(ge=0, le=1)
    low: float = Field(ge=0, le=1)
    high: float = Field(ge=0, le=1)

    @property
    def at(self) -> str:
        """The radius to its last digit: rounded to fewer it could be more than was certified."""
        return repr(self.radius).removesuffix(".0")


class CertificationResult(_Strict):
    """What a certification log says of a test set: the numbers on the card.

    Fractions in [0, 1], intervals at 95 % over images. Every `skip`-th image of the split was certified, up to number
    `maximum` where there is one. `n` is the number of draws, or the most that the stopping rule makes; `mean_n` is how
    many it made on average. A rule that decides one radius, `radius_asked`, tells neither standard accuracy nor average
    certified radius: both are None.
    """

    task: str
    split: str
    skip: int = Field(ge=1)
    maximum: int | None = Field(default=None, ge=1)
    num_images: int = Field(gt=0)
    sigma: float = Field(ge=0)
    noise: str
    n0: int = Field(ge=0)
    n: int = Field(gt=0)
    mean_n: float | None = Field(default=None, gt=0)
    alpha: float = Field(gt=0, lt=1)
    stopping: str
    radius_asked: float | None = Field(default=None, ge=0)
    tolerance: float | None = Field(default=None, ge=0)
    backend: str
    seed: int
    standard_accuracy: float | None = Field(default=None, ge=0, le=1)
    standard_accuracy_interval: tuple[float, float] | None = None
    average_certified_radius: float | None = Field(default=None, ge=0)
    average_certified_radius_interval: tuple[float, float] | None = None
    abstention_rate: float = Field(ge=0, le=1)
    certified_accuracy: tuple[CertifiedAccuracy, ...]

    @property
    def images(self) -> str:
        """Which images were certified, in words."""
        return images_in_words(self.skip, self.maximum)

    @property
    def rule(self) -> str:
        """How many draws were made and what bounds the probability, in words."""
        if self.stopping == "fixed":
            return f"bound from n = {self.n:,} further draws (one-sided Clopper-Pearson, stopping rule `fixed`)"
        asked = "" if self.radius_asked is None else f" at radius {self.radius_asked}"
        tolerance = "" if self.tolerance is None else f" with tolerance {self.tolerance}"
        mean = "" if self.mean_n is None else f", {self.mean_n:,.1f} on average"
        return (
            f"bound from at most n = {self.n:,} further draws{mean} (beta-mixture confidence sequence, "
            f"stopping rule `{self.stopping}`{asked}{tolerance})"
        )


class NoiseAccuracy(_Strict):
    """Accuracy of the base classifier under one draw of Gaussian noise an image; its interval at 95 % over images."""

    sigma: float = Field(ge=0)
    accuracy: float = Field(ge=0, le=1)
    interval: tuple[float, float] | None = None


class SmoothedTarget(_Strict):
    """The smoothed classifier that was attacked: the draws an attack averages over, and those of each prediction."""

    sigma: float = Field(gt=0)
    num_noise_samples: int = Field(ge=1)
    n: int = Field(ge=1)
    alpha: float = Field(gt=0, lt=1)


class Attack(_Strict):
    """An attack; `epsilon` and `step_size` (the first one, where it adapts itself) on the [0, 1] pixel scale.

    Where it is several attacks it has no one step size and loss. `smoothed` tells an attack on the smoothed classifier;
    else the base classifier is attacked. `notes` say what else it did, and what it left out.
    """

    name: str
    version: str
    norm: Literal["l2", "linf"]
    epsilon: float = Field(ge=0)
    num_steps: int = Field(ge=1)
    step_size: float | None = Field(default=None, ge=0)
    start: str
    loss: Literal["ce", "dlr"] | None = None
    num_restarts: int = Field(default=1, ge=1)
    seed: int | None = None
    smoothed: SmoothedTarget | None = None
    notes: tuple[str, ...] = ()

    def describe(self) -> str:
        """The attack in words."""
        length = "" if self.step_size is None else f" of {self.step_size:g}"
        said = [
            f"{self.name} ({self.version})",
            f"{self.norm} epsilon {self.epsilon:g}",
            f"{self.num_steps} steps{length} from {self.start}",
        ]
        said += [] if self.loss is None else [f"loss {self.loss}"]
        said += [] if self.num_restarts == 1 else [f"{self.num_restarts} restarts"]
        said += [] if self.seed is None else [f"seed {self.seed}"]
        if self.smoothed is not None:
            said.append(
                f"gradient over {self.smoothed.num_noise_samples} draws of noise of sigma {self.smoothed.sigma:g}, "
                f"predictions from n = {self.smoothed.n:,} draws at alpha = {self.smoothed.alpha:g}"
            )
        return "; ".join([", ".join(said), *self.notes])


class EmpiricalResult(_Strict):
    """What `zoo evaluate` measured. Fractions in [0, 1], intervals at 95 % over images.

    Every `skip`-th image of the split was looked at, up to number `maximum` where there is one. `robust_accuracy` is
    the share of all images that are classified correctly and stay so under the attack: an upper bound, since a better
    attack may break more of them. Means over classes weigh every class alike, however many images it has.

    Where `classifier` is "smoothed", standard accuracy is that of the smoothed classifier, an abstention being wrong,
    and robust accuracy counts every image that it does not answer wrongly, attacked or not: an abstention, of which
    `attacked_abstention_rate` tells the share under attack, proves nothing. `smoothed` is such a result, kept beside
    that of the base classifier.
    """

    classifier: Literal["base", "smoothed"] = "base"
    task: str
    split: str
    skip: int = Field(default=1, ge=1)
    maximum: int | None = Field(default=None, ge=1)
    num_images: int = Field(gt=0)
    standard_accuracy: float = Field(ge=0, le=1)
    standard_accuracy_interval: tuple[float, float]
    mean_per_class_accuracy: float | None = Field(default=None, ge=0, le=1)
    noise: tuple[NoiseAccuracy, ...] = ()
    attack: Attack | None = None
    robust_accuracy: float | None = Field(default=None, ge=0, le=1)
    robust_accuracy_interval: tuple[float, float] | None = None
    mean_per_class_robust_accuracy: float | None = Field(default=None, ge=0, le=1)
    attacked_abstention_rate: float | None = Field(default=None, ge=0, le=1)
    seed: int
    smoothed: EmpiricalResult | None = None

    @model_validator(mode="after")
    def _names_its_attack(self) -> EmpiricalResult:
        told = (self.attack, self.robust_accuracy, self.robust_accuracy_interval)
        if any(part is None for part in told) and any(part is not None for part in told):
            raise ValueError("a robust accuracy needs its interval and its attack")
        if self.smoothed is not None and (self.smoothed.classifier, self.classifier) != ("smoothed", "base"):
            raise ValueError("a result of the smoothed classifier stands beside one of the base classifier")
        return self

    @property
    def images(self) -> str:
        """Which images were looked at, in words."""
        return images_in_words(self.skip, self.maximum)


class Origin(_Strict):
    """The foreign file that a checkpoint's weights were imported from."""

    file: str
    sha256: str
    format: str
    url: str | None = None
    licence: str | None = None
    catalog_id: str | None = None


class CertifiedConfig(_Strict):
    """What timm does not know: how the network was made and what was measured of it.

    `recipe` is the whole resolved recipe, and `recipe_digest` its SHA-256; an imported checkpoint has neither of them,
    nor seed and epochs, but an `origin`. Without `has_trained_head` the last layer is fresh and predicts nothing before
    it is fine-tuned. `batch_statistics` says, in words, of which images the running statistics of batch normalization
    are. `num_train_images` counts the images that weights were fitted to; `limit_per_class` is how many labels a class
    were used, where they were limited.
    """

    schema_version: int = SCHEMA_VERSION
    objective: str
    hyper_parameters: dict[str, JsonScalar] = {}
    sigma: float | None = Field(default=None, ge=0)
    task: str
    class_names: tuple[str, ...]
    parent: str | None = None
    seed: int | None = None
    epochs: int | None = Field(default=None, ge=0)
    recipe_digest: str | None = None
    recipe: dict[str, Any] = {}
    origin: Origin | None = None
    has_trained_head: bool = True
    batch_statistics: str | None = None
    limit_per_class: int | None = Field(default=None, ge=1)
    num_train_images: int | None = Field(default=None, ge=1)
    preprocessing: Preprocessing
    empirical: EmpiricalResult | None = None
    certification: CertificationResult | None = None


class ModelSpec(_Strict):
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
        """The spec in a parsed `config.json`. `source` names the file in errors.

        Raises: CheckpointError if the file is not ours, of a newer schema, or holds a wrong value.
        """
        if not isinstance(config, dict) or not isinstance(config.get("certified"), dict):
            raise CheckpointError(f"{source} has no 'certified' section: it is no checkpoint of this zoo")
        ours = dict(config["certified"])
        version = ours.get("schema_version")
        if not isinstance(version, int) or not 1 <= version <= SCHEMA_VERSION:
            raise CheckpointError(
                f"{source} has schema_version {version!r}, known are 1 to {SCHEMA_VERSION}: upgrade certified-zoo"
            )
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


def images_in_words(skip: int, maximum: int | None) -> str:
    """Which images `--skip` and `--max` choose."""
    every = "every image" if skip == 1 else f"images 0, {skip}, {2 * skip} and so on"
    return every if maximum is None else f"{every} below {maximum}"
