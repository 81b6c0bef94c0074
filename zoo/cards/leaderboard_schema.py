"""One JSON document a model, for leaderboards: what was measured of it, under which threat model, and by what.

`schemas/leaderboard.schema.json` is this file's schema, for readers in other languages. What was not measured is null,
never left out. Certified and empirical numbers, and those that a model's authors report, stand apart: a lower bound, an
upper bound and hearsay are no columns of one table.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field, ValidationError, model_validator
from pydantic_core import PydanticUndefined

from zoo.errors import RequestError
from zoo.models.measurements import AttackParameters, CertificationConditions, ImageSelection, Strict

SCHEMA_VERSION: Final = 1

Share = Annotated[float, Field(ge=0, le=1)]


class _Complete(Strict):
    """A part of the document: every field has to be there, also those that have a default in the base classes."""

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: object) -> None:
        for field in cls.model_fields.values():
            field.default = PydanticUndefined
        cls.model_rebuild(force=True)


class Estimate(_Complete):
    """A mean over images with its 95 % interval over images, where one is known."""

    value: float = Field(ge=0)
    low: float | None = Field(ge=0)
    high: float | None = Field(ge=0)

    @model_validator(mode="after")
    def _is_in_its_interval(self) -> Estimate:
        if (self.low is None) != (self.high is None):
            raise ValueError("an interval has two ends")
        # An interval by resampling may miss its estimate by rounding.
        if self.low is not None and self.high is not None and not self.low - 1e-9 <= self.value <= self.high + 1e-9:
            raise ValueError(f"{self.value} is not in its interval {self.low} to {self.high}")
        return self


class Images(_Complete, ImageSelection):
    """Which images the numbers are about: every `skip`-th of the split, below number `maximum` where there is one."""


class CertifiedAccuracyAt(_Complete):
    """Share of the images that are classified correctly with a certified radius of at least `radius`."""

    radius: float = Field(ge=0)
    accuracy: Estimate


class Certified(_Complete, CertificationConditions):
    """Of the smoothed classifier, with a proof: lower bounds at confidence 1 - alpha an image. Fractions in [0, 1].

    Radii and sigma are in `norm`, on the [0, 1] pixel scale. An abstention is no correct answer; `abstention_rate` is
    their share. `n` draws are behind a bound, or at most that many under another `stopping` rule than "fixed"; `mean_n`
    is their mean number. A rule that decides one radius, `radius_asked`, tells neither standard accuracy nor ACR.
    `rows_sha256` is the hash of the log behind the numbers.
    """

    norm: Literal["l2"]
    sigma: float = Field(gt=0)
    n0: int = Field(ge=1)
    images: Images
    standard_accuracy: Estimate | None
    certified_accuracy: tuple[CertifiedAccuracyAt, ...]
    abstention_rate: Estimate
    average_certified_radius: Estimate | None
    rows_sha256: str | None


class AttackedBy(_Complete, AttackParameters):
    """An attack; `epsilon` and `step_size` in `norm`, on the [0, 1] pixel scale; null what it does not have.

    An attack on a smoothed classifier averages its gradient over `num_noise_samples` draws of noise of `sigma`, and
    predicts from `n` draws at `alpha`.
    """

    sigma: float | None
    num_noise_samples: int | None
    n: int | None
    alpha: float | None
    notes: tuple[str, ...]


class AccuracyUnderNoise(_Complete):
    """Accuracy under one draw of Gaussian noise an image; sigma on the [0, 1] pixel scale."""

    sigma: float = Field(ge=0)
    accuracy: Estimate


class Empirical(_Complete):
    """Measured by trying, without proof. `robust_accuracy`, under the `attack`, is an upper bound: a better attack may
    break more images; of a smoothed classifier it counts abstentions, whose share is `attacked_abstention_rate`.
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
            raise ValueError("a robust accuracy stands with its attack")
        return self


class Measured(_Complete):
    """What this project's commands measured: with a proof, and by trying, on the network and on its smoothing."""

    certified: Certified | None
    empirical_base: Empirical | None
    empirical_smoothed: Empirical | None


class Reported(_Complete):
    """A number that `source` published and nobody measured here; `of` says of what it is the accuracy."""

    standard_accuracy: Share
    of: str
    task: str
    source: str


class Training(_Complete):
    """How the network was made, as far as that is known. `parent` is the checkpoint that it started from."""

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


class Source(_Complete):
    """The file of another project that the weights were imported from; null for what it does not say."""

    file: str
    sha256: str
    url: str | None
    catalog_id: str | None


class LeaderboardEntry(_Complete):
    """One model. `licence` is that of the weights, as their source states it; `source` is null for what was trained
    here."""

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
    """The document's text, read back before it is returned. Raises: RequestError as `read_entry`."""
    text = entry.model_dump_json(indent=2)
    read_entry(text, source=entry.name)
    return text


def read_entry(text: str, *, source: str) -> LeaderboardEntry:
    """The entry in a document; `source` names it in errors.

    Raises: RequestError that names the first field that is missing, unknown or impossible.
    """
    try:
        return LeaderboardEntry.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the document"
        raise RequestError(f"{source} is no leaderboard entry: {where}: {first['msg']}") from error
