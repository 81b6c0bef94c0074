"""The schema of a published result: certified numbers that authors report in a paper or in a log.

`schemas/published.schema.json` is the JSON Schema of this file. A condition that the source does not state is null, and
so is a number that it does not give.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Final, Literal

from pydantic import Field, model_validator

from zoo.models.denoiser_config import JsonScalar
from zoo.models.measurements import Bound, Sampling, Strict

SCHEMA_VERSION: Final = 1

Share = Annotated[float, Field(ge=0, le=1)]
Url = Annotated[str, Field(max_length=500, pattern=r"^https://\S+$")]
Step = tuple[Annotated[float, Field(ge=0)], Annotated[int, Field(ge=0)]]


class PublishedImages(Strict):
    """The images that were certified: every `skip`-th image of the split, below number `maximum` unless it is null."""

    task: str = Field(min_length=1, max_length=200)
    split: str
    skip: int | None = Field(ge=1)
    maximum: int | None = Field(ge=1)
    sample: Sampling | None
    num_images: int = Field(ge=1)


class ReportedAt(Strict):
    """Share of the images that are classified correctly with a certified radius of at least `radius`."""

    radius: float = Field(ge=0)
    accuracy: Share


class Paper(Strict):
    """The publication. `place` is the table and page, or the file, that the numbers are from."""

    citation: str = Field(min_length=1, max_length=500)
    url: Url
    place: str = Field(min_length=1, max_length=500)


class PublishedLog(Strict):
    """The log that the authors published: its address at a fixed commit, and the SHA-256 of its bytes."""

    url: Url
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    licence: str | None = Field(max_length=100)


class PublishedResult(Strict):
    """The certified numbers of one model as its authors publish them. Fractions in [0, 1]; radii and sigma in pixels.

    `precision` is the unit of the last digit in which a table prints its shares; null if the shares are exact.
    `curve` lists, for each radius of the log, how many images are correct with at least this radius; null if there is
    no log, or the log is next to the document. `num_parameters` counts the weights of the network.
    """

    schema_version: Literal[1]
    kind: Literal["published"]
    name: str = Field(min_length=1, max_length=200)
    method: str = Field(min_length=1, max_length=100)
    hyper_parameters: dict[str, JsonScalar]
    architecture: str = Field(min_length=1, max_length=100)
    num_parameters: int | None = Field(ge=1)
    norm: Literal["l2"]
    noise: Literal["gaussian", "discrete"]
    sigma: float = Field(gt=0)
    n0: int | None = Field(ge=1)
    n: int | None = Field(ge=1)
    alpha: float | None = Field(gt=0, lt=1)
    bound: Bound | None
    stopping: Literal["fixed", "anytime", "at-radius"] | None
    images: PublishedImages
    standard_accuracy: Share | None
    average_certified_radius: float | None = Field(ge=0)
    abstention_rate: Share | None
    certified_accuracy: tuple[ReportedAt, ...] = Field(min_length=1)
    precision: float | None = Field(gt=0, lt=1)
    curve: tuple[Step, ...] | None
    notes: tuple[str, ...]
    source: Paper
    log: PublishedLog | None

    @model_validator(mode="after")
    def _is_ordered(self) -> PublishedResult:
        radii = [point.radius for point in self.certified_accuracy]
        if radii != sorted(set(radii)):
            raise ValueError("the radii of certified_accuracy must increase")
        if self.curve is not None and not _is_curve(self.curve, self.images.num_images):
            raise ValueError("the radii of curve must increase and its counts decrease, from at most num_images")
        if self.curve is not None and self.log is None:
            raise ValueError("a curve needs the log that it was counted from")
        return self


def _is_curve(curve: tuple[Step, ...], num_images: int) -> bool:
    radii, counts = [radius for radius, _ in curve], [count for _, count in curve]
    falls = all(before > after for before, after in pairwise(counts))
    return radii == sorted(set(radii)) and falls and max(counts, default=0) <= num_images
