"""TrainingRecipe: all settings that determine what a training run computes, in one frozen object."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from typing import Any, Literal, cast, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter, ValidationError

from training.freezing import BatchStatistics, Freeze
from training.objectives import Objective
from training.objectives.objective import require
from training.objectives.table import objective_name
from training.precision import Precision
from training.tasks.task import Augmentation
from zoo.errors import RecipeError
from zoo.errors.suggestions import did_you_mean
from zoo.importing.normalization import parse_normalization
from zoo.models.spec import Fit, Preprocessing, usual_resize


@dataclass(frozen=True, slots=True, kw_only=True)
class Sgd:
    """Stochastic gradient descent. Weight decay applies to every parameter, as in the published code.

    A `trust_coefficient` gives every layer an adaptive rate (LARS), for batches of thousands of images.
    """

    lr: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 1e-4
    nesterov: bool = False
    trust_coefficient: float | None = None

    def __post_init__(self) -> None:
        require(self.lr > 0, f"optimizer.lr must be positive, got {self.lr}")
        require(0 <= self.momentum < 1, f"optimizer.momentum must be in [0, 1), got {self.momentum}")
        require(self.weight_decay >= 0, f"optimizer.weight_decay must be at least 0, got {self.weight_decay}")
        require(not self.nesterov or self.momentum > 0, "optimizer.nesterov needs optimizer.momentum above 0")
        trust = self.trust_coefficient
        require(trust is None or trust > 0, f"optimizer.trust_coefficient must be positive or none, got {trust}")
        require(
            trust is None or not self.nesterov, "optimizer.nesterov cannot be combined with optimizer.trust_coefficient"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Adam:
    """Adam (Kingma and Ba 2015), as published denoisers were trained; weight decay is added to the gradient."""

    lr: float = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        require(self.lr > 0, f"optimizer.lr must be positive, got {self.lr}")
        for name, value in (("beta1", self.beta1), ("beta2", self.beta2)):
            require(0 <= value < 1, f"optimizer.{name} must be in [0, 1), got {value}")
        require(self.weight_decay >= 0, f"optimizer.weight_decay must be at least 0, got {self.weight_decay}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """The schedule of the learning rate.

    `cosine` decays the rate from lr towards 0 over all steps. `steps` multiplies it by `factor` at the start of each
    epoch in `milestones`, counted from 0. `plateau` multiplies it by `factor` whenever the validation accuracy under
    the objective's noise has not improved for `patience` epochs, at most `drops` times; the next plateau ends the run
    (the study's appendix A). All schedules rise linearly over the first `warmup_epochs` epochs.
    """

    name: Literal["cosine", "steps", "plateau"] = "cosine"
    milestones: tuple[int, ...] = ()
    warmup_epochs: float = 0.0
    patience: int = 30
    factor: float = 0.1
    drops: int = 2

    def __post_init__(self) -> None:
        require(self.warmup_epochs >= 0, f"schedule.warmup_epochs must be at least 0, got {self.warmup_epochs}")
        rising = list(self.milestones) == sorted(set(self.milestones)) and min(self.milestones, default=1) >= 1
        require(rising, f"schedule.milestones must be increasing epochs of at least 1, got {self.milestones}")
        require(
            (self.name == "steps") == bool(self.milestones),
            f"schedule.milestones and schedule.name=steps need each other; got {self.milestones}, {self.name}",
        )
        require(self.patience >= 1, f"schedule.patience must be at least 1, got {self.patience}")
        require(0 < self.factor < 1, f"schedule.factor must be in (0, 1), got {self.factor}")
        require(self.drops >= 0, f"schedule.drops must be at least 0, got {self.drops}")


ADDED_FIELDS = ("fit", "total_steps", "head_steps", "head_rate", "noise_warmup")
"""Fields that a recipe of an earlier version does not have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRecipe:
    """All settings of a training run except its task, starting point and seed.

    `batch_size` counts distinct images over all processes. Each process forwards its share in `accumulation` parts, and
    batch normalization sees one part at a time. `image_size` replaces the task's crop. `fit` is `task`, `crop` or `pad`
    (the whole picture on a white square). `resize` replaces the length of the shorter side before the crop; by default
    it keeps the task's ratio to the crop. `normalization` is `task`, `init` (that of the starting point) or a
    normalization that `zoo import` takes. `limit_per_class` is the number of labelled images per class, including the
    validation set. `precision` applies to the forward pass: `auto` is bfloat16 on a GPU that supports it, else float32
    (without TF32, which is `tf32`); attacks use at least float32. `memory_format` `auto` is channels last on GPUs.
    `compile` turns on torch.compile. `num_workers` processes load the images; 0 is the default of the device, up to 8
    next to a GPU and none next to a CPU.

    A run ends after `epochs` epochs or `total_steps` steps, whichever comes first; None is no limit, and one of both is
    needed. The first `head_steps` steps train only the last layer, with cross-entropy on images under the objective's
    noise, at a rate that falls from `head_rate` as a cosine. The other steps train all layers that are not frozen, with
    the objective and the schedule (linear probing, then fine-tuning: Kumar et al. 2022). Over the first `noise_warmup`
    share of all steps, sigma rises linearly to the objective's.
    """

    objective: Objective
    architecture: str = "resnet50"
    epochs: int | None = 90
    total_steps: int | None = None
    head_steps: int = 0
    head_rate: float = 0.1
    noise_warmup: float = 0.0
    batch_size: int = 64
    accumulation: int = 1
    optimizer: Sgd | Adam = field(default_factory=Sgd)
    schedule: Schedule = field(default_factory=Schedule)
    gradient_clip_norm: float | None = None
    freeze: Freeze = "none"
    batch_statistics: BatchStatistics = "trained-layers"
    limit_per_class: int | None = None
    validation_share: float = 0.1
    image_size: int | None = None
    fit: Literal["task"] | Fit = "task"
    resize: int | None = None
    augmentation: Literal["task", "none", "shift-flip", "resized-crop-flip"] = "task"
    normalization: str = "task"
    precision: Precision = "auto"
    memory_format: Literal["auto", "contiguous", "channels-last"] = "auto"
    compile: bool = False
    num_workers: int = 0

    def __post_init__(self) -> None:
        self._require_budget()
        require(self.accumulation >= 1, f"accumulation must be at least 1, got {self.accumulation}")
        require(
            self.batch_size >= 2 * self.accumulation,
            f"batch_size must be at least 2 per part, for batch normalization, with accumulation={self.accumulation}; "
            f"got {self.batch_size}",
        )
        require(0 <= self.validation_share < 1, f"validation_share must be in [0, 1), got {self.validation_share}")
        require(self.num_workers >= 0, f"num_workers must be at least 0, got {self.num_workers}")
        require(
            self.schedule.name != "plateau" or self.validates,
            "schedule.name=plateau needs validation accuracy: validation_share must be positive and the objective must "
            "learn classes",
        )
        optional = (("epochs", 1), ("total_steps", 1), ("gradient_clip_norm", 0.0), ("limit_per_class", 1))
        for name, least in (*optional, ("image_size", 8), ("resize", 8)):
            value = getattr(self, name)
            above = value is None or (value > 0 and value >= least)
            require(above, f"{name} must be none or {f'at least {least}' if least else 'positive'}, got {value}")
        if self.normalization not in ("task", "init"):
            parse_normalization(self.normalization)

    def _require_budget(self) -> None:
        require(
            self.epochs is not None or self.total_steps is not None,
            "a run needs a budget: epochs, total_steps, or both of which the first ends the run; got none for both",
        )
        require(self.head_steps >= 0, f"head_steps must be at least 0, got {self.head_steps}")
        require(
            self.head_steps == 0 or self.objective.learns_classes,
            "head_steps trains the last layer on classes, and the objective learns none: set head_steps=0",
        )
        require(
            self.total_steps is None or self.head_steps <= self.total_steps,
            f"head_steps must not exceed total_steps={self.total_steps}, got {self.head_steps}",
        )
        require(self.head_rate > 0, f"head_rate must be positive, got {self.head_rate}")
        require(0 <= self.noise_warmup < 1, f"noise_warmup must be in [0, 1), got {self.noise_warmup}")

    def num_steps(self, steps_per_epoch: int) -> int:
        """The number of steps of a run with so many steps per epoch, unless a plateau ends it earlier."""
        limits = [] if self.epochs is None else [self.epochs * steps_per_epoch]
        return min([*limits, *([] if self.total_steps is None else [self.total_steps])])

    def num_epochs(self, num_images: int) -> float:
        """The number of times that a run shows each of so many training images."""
        by_steps = math.inf if self.total_steps is None else self.total_steps * self.batch_size / num_images
        return min(math.inf if self.epochs is None else self.epochs, by_steps)

    @property
    def validates(self) -> bool:
        """Whether the trainer measures validation accuracy after each epoch."""
        return self.validation_share > 0 and self.objective.learns_classes

    def augmentation_of(self, of_task: Augmentation) -> Augmentation:
        """The recipe's augmentation; `task` selects `of_task`."""
        return of_task if self.augmentation == "task" else self.augmentation

    def describe(self) -> dict[str, Any]:
        """The recipe as plain JSON values; the objective includes its name."""
        return asdict(self) | {"objective": {"name": objective_name(self.objective), **asdict(self.objective)}}

    def identity(self) -> dict[str, Any]:
        """What checkpoints, digests and studies record: `describe` without the `ADDED_FIELDS` at their defaults.

        Recipes from before these fields keep their digests, and the committed study its results.
        """
        defaults = {entry.name: entry.default for entry in fields(self)}
        described = self.describe().items()
        return {name: value for name, value in described if name not in ADDED_FIELDS or value != defaults[name]}

    def digest(self) -> str:
        """SHA-256 of the recipe's JSON; identifies the recipe in a checkpoint."""
        return hashlib.sha256(json.dumps(self.identity(), sort_keys=True).encode()).hexdigest()

    def fit_preprocessing(self, of_task: Preprocessing, *, of_init: Preprocessing | None = None) -> Preprocessing:
        """The task's preprocessing with this recipe's image size, fit and normalization.

        `of_init` is the starting point's preprocessing, for the normalization `init`.

        Raises: RecipeError if the normalization is `init` without a starting point, `resize` is below the crop, or is
        set to another value than the crop with the fit `pad`.
        """
        crop, fit = self.image_size or of_task.crop, of_task.fit if self.fit == "task" else self.fit
        resize = self.resize or _default_resize(crop, fit, of_task)
        require(resize >= crop, f"resize must be at least the image size, {crop}; got {resize}")
        require(fit == "crop" or resize == crop, f"resize={resize} needs fit=crop: padding resizes to {crop}")
        fields: dict[str, Any] = {"crop": crop, "resize": resize, "fit": fit}
        if self.normalization == "init":
            if of_init is None:
                raise RecipeError(
                    "normalization=init needs the normalization of a starting point, and there is none: give --init"
                )
            fields |= {"mean": of_init.mean, "std": of_init.std}
        elif self.normalization != "task":
            chosen = parse_normalization(self.normalization)
            fields |= {"mean": chosen.mean, "std": chosen.std}
        return of_task.model_copy(update=fields)


def _default_resize(crop: int, fit: Fit, of_task: Preprocessing) -> int:
    if fit == "pad":
        return crop
    return usual_resize(crop) if of_task.fit == "pad" else round(crop * of_task.resize / of_task.crop)


def override(recipe: TrainingRecipe, assignments: Iterable[str]) -> TrainingRecipe:
    """The recipe with fields replaced by dotted path: `epochs=1`, `objective.sigma=0.25`; `none` clears a field.

    A later assignment replaces an earlier one to the same field. The recipe is checked after all of them, because
    fields may need each other.

    Raises: RecipeError with the field, its value and the accepted values.
    """
    values: dict[tuple[str, ...], Any] = {}
    for assignment in assignments:
        path, equals, value = assignment.partition("=")
        if not equals:
            raise RecipeError(f"--set takes key=value, for example epochs=1; got {assignment!r}")
        names = tuple(path.strip().split("."))
        values[names] = _value_at(recipe, names, value.strip(), path=path.strip(), known=field_paths(recipe))
    return cast(TrainingRecipe, _replaced(recipe, values)) if values else recipe


def field_paths(owner: Any, prefix: str = "") -> list[str]:
    """The dotted paths of all values in a recipe."""
    paths = []
    for field_ in fields(owner):
        value, path = getattr(owner, field_.name), prefix + field_.name
        paths += field_paths(value, f"{path}.") if is_dataclass(value) else [path]
    return paths


def _value_at(owner: Any, names: Sequence[str], value: str, *, path: str, known: Sequence[str]) -> Any:
    """The parsed value for a field of the owner; `known` are the paths of all values of the recipe, for suggestions."""
    name, rest = names[0], names[1:]
    own = [entry.name for entry in fields(owner)]
    if name not in own:
        raise RecipeError(
            f"the recipe has no field {path!r}; {type(owner).__name__} has: {', '.join(own) or 'none'}."
            + did_you_mean(path, known)
        )
    current = getattr(owner, name)
    if is_dataclass(current) != bool(rest):
        expected = f"one of its fields, {path}.NAME=VALUE" if is_dataclass(current) else "no further name"
        raise RecipeError(f"{path!r} does not name a value of the recipe: {name} takes {expected}")
    return _value_at(current, rest, value, path=path, known=known) if rest else _parse(owner, name, value, path=path)


def _replaced(owner: Any, values: Mapping[tuple[str, ...], Any]) -> Any:
    """The owner with the values at these paths."""
    changes = {names[0]: value for names, value in values.items() if len(names) == 1}
    for name in {names[0] for names in values if len(names) > 1}:
        below = {names[1:]: value for names, value in values.items() if names[0] == name}
        changes[name] = _replaced(getattr(owner, name), below)
    return replace(owner, **changes)


def _parse(owner: Any, name: str, value: str, *, path: str) -> Any:
    kind = get_type_hints(type(owner))[name]
    given: Any = None if value.lower() == "none" and type(None) in get_args(kind) else value
    if get_origin(kind) is tuple:
        given = [part for part in value.split(",") if part.strip()]
    try:
        parsed = TypeAdapter(kind).validate_python(given)
    except ValidationError as error:
        raise RecipeError(f"{path}={value!r}: {error.errors()[0]['msg']}") from error
    require(not isinstance(parsed, float) or math.isfinite(parsed), f"{path} must be finite, got {value}")
    return parsed
