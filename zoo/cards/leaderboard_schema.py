"""The schema of a leaderboard entry: one JSON document per model with its results, their conditions and their source.

`schemas/leaderboard.schema.json` is the JSON Schema of this file, for readers in other languages. No field may be
omitted; a result that was not measured is null. Certified results, empirical results and numbers that a model's authors
report are in separate fields: a lower bound, an upper bound and an unchecked number do not belong in one column.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field, ValidationError, model_validator
from pydantic_core import PydanticUndefined

from zoo.errors import RequestError
from zoo.models.measurements import (
    AttackParameters,
    Bound,
    CertificationConditions,
    ImageSelection,
    LabelDistribution,
    SharedAlpha,
    Strict,
)

SCHEMA_VERSION: Final = 1

Share = Annotated[float, Field(ge=0, le=1)]


class _Complete(Strict):
    """A part of the document. Every field is required, including fields that have a default in the base classes."""

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: object) -> None:
        for field in cls.model_fields.values():
            field.default, field.exclude_if = PydanticUndefined, None
        cls.model_rebuild(force=True)


class Estimate(_Complete):
    """A mean over images with its 95 % interval over images; `low` and `high` are null if the interval is not known."""

    value: float = Field(ge=0)
    low: float | None = Field(ge=0)
    high: float | None = Field(ge=0)

    @model_validator(mode="after")
    def _is_in_its_interval(self) -> Estimate:
        if (self.low is None) != (self.high is None):
            raise ValueError("low and high must both be numbers or both be null")
        # The interval of a resampling method may miss its estimate by a rounding error.
        if self.low is not None and self.high is not None and not self.low - 1e-9 <= self.value <= self.high + 1e-9:
            raise ValueError(f"{self.value} is not in its interval {self.low} to {self.high}")
        return self


class Images(_Complete, ImageSelection):
    """The images that were measured: every `skip`-th image of the split, below number `maximum` unless it is null.

    With a `skip` above 1 they are an evenly spaced subset, not a random sample. If `sample` is not null, they are a
    sample of this kind of `num_images` images, drawn with the seed of the result.
    """


class CertifiedAccuracyAt(_Complete):
    """Share of the images that are classified correctly with a certified radius of at least `radius`."""

    radius: float = Field(ge=0)
    accuracy: Estimate


class Certified(_Complete, CertificationConditions):
    """Proven results of the smoothed classifier: lower bounds at confidence 1 - alpha per image. Fractions in [0, 1].

    Radii are in `norm`; radii and sigma are on the [0, 1] pixel scale. An abstention counts as wrong; `abstention_rate`
    is the share of abstentions. A bound uses `n` draws, or at most `n` if `stopping` is not "fixed"; `mean_n` is the
    average number. `bound` is the confidence bound or test behind the radii: "simultaneous" and "tangent-bets" use the
    runner-up's votes, the others assign all remaining probability to the runner-up. If the rule decides a single
    radius, `radius_asked`, standard accuracy and average certified radius are null. `p_a_of_label` is the distribution
    over images of the probability of the true class under noise, which the average certified radius does not show
    (arXiv 2410.06895); null if the log does not determine it. `rows_sha256` is the SHA-256 of the log from which the
    numbers are computed. `family` is null unless all certificates hold at once at confidence 1 - `family.alpha`.
    """

    norm: Literal["l2"]
    bound: Bound
    sigma: float = Field(gt=0)
    n0: int = Field(ge=1)
    images: Images
    family: SharedAlpha | None
    standard_accuracy: Estimate | None
    certified_accuracy: tuple[CertifiedAccuracyAt, ...]
    abstention_rate: Estimate
    average_certified_radius: Estimate | None
    p_a_of_label: LabelDistribution | None
    rows_sha256: str | None


class AttackedBy(_Complete, AttackParameters):
    """An attack. `epsilon` and `step_size` are in `norm`, on the [0, 1] pixel scale.

    A parameter that the attack does not have is null. An attack on a smoothed classifier averages its gradient over
    `num_noise_samples` draws of noise with standard deviation `sigma`, and predicts from `n` draws at `alpha`.
    """

    sigma: float | None
    num_noise_samples: int | None
    n: int | None
    alpha: float | None
    notes: tuple[str, ...]


class AccuracyUnderNoise(_Complete):
    """Accuracy under one draw of Gaussian noise per image; sigma is on the [0, 1] pixel scale."""

    sigma: float = Field(ge=0)
    accuracy: Estimate


class Empirical(_Complete):
    """Empirical results, without a proof: accuracy on clean, noisy and attacked images.

    `robust_accuracy` is the accuracy under `attack`. It is an upper bound, because a better attack may break more
    images. For a smoothed classifier it counts abstentions as robust; their share is `attacked_abstention_rate`.
    """

    images: Images
    seed: int
    standard_accuracy: Estimate
    mean_per_class_accuracy: Share | None
    noise: tuple[AccuracyUnderNoise, ...]
    attack: AttackedBy | None
    robust_accuracy: Estimate | None
    mean_per_class_robust_accuracy: Share | None
    attacked_abstention_rate: Share | None

    @model_validator(mode="after")
    def _names_its_attack(self) -> Empirical:
        if (self.attack is None) != (self.robust_accuracy is None):
            raise ValueError("attack and robust_accuracy must both be given or both be null")
        return self


class Measured(_Complete):
    """Results measured by this project: certified, and empirical for the base and the smoothed classifier."""

    certified: Certified | None
    empirical_base: Empirical | None
    empirical_smoothed: Empirical | None


class Reported(_Complete):
    """An accuracy that `source` published and that was not measured here; `of` names the classifier that it is of."""

    standard_accuracy: Share
    of: str
    task: str
    source: str


class DenoiserTraining(_Complete):
    """The training of the denoiser before a classifier. `task` names its images, whose labels were not used."""

    objective: str
    hyper_parameters: dict[str, bool | int | float | str | None]
    sigma: float = Field(gt=0)
    task: str
    parent: str | None
    epochs: int | None
    seed: int | None
    num_train_images: int | None
    limit_per_class: int | None
    recipe_digest: str | None


class Training(_Complete):
    """The training of the network, as far as it is known. `parent` is the SHA-256 of the weights it started from.

    With a `denoiser`, the other fields are those of the classifier behind it, except for `sigma`, which is both's.
    """

    objective: str
    hyper_parameters: dict[str, bool | int | float | str | None]
    sigma: float | None = Field(ge=0)
    task: str
    parent: str | None
    epochs: int | None
    seed: int | None
    num_train_images: int | None
    limit_per_class: int | None
    recipe_digest: str | None
    denoiser: DenoiserTraining | None


class Source(_Complete):
    """The file of another project from which the weights were imported. A field that is not known is null."""

    file: str
    sha256: str
    url: str | None
    catalog_id: str | None


class LeaderboardEntry(_Complete):
    """One model. `licence` is the licence of the weights, as their source states it.

    `source` is null for a model that this project trained.
    """

    schema_version: Literal[1]
    name: str
    architecture: str
    num_classes: int = Field(ge=1)
    input: str
    weights_sha256: str = Field(pattern="^[0-9a-f]{64}$")
    licence: str | None
    source: Source | None
    training: Training
    measured: Measured
    reported: Reported | None


def write_entry(entry: LeaderboardEntry) -> str:
    """The document's text, validated with `read_entry`. Raises: RequestError, as `read_entry` does."""
    text = entry.model_dump_json(indent=2)
    read_entry(text, source=entry.name)
    return text


def read_entry(text: str, *, source: str) -> LeaderboardEntry:
    """The entry in a document; `source` names it in errors.

    Raises: RequestError, which names the first field that is missing, unknown or invalid.
    """
    try:
        return LeaderboardEntry.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the document"
        raise RequestError(f"{source} is not a leaderboard entry: {where}: {first['msg']}") from error
