"""One row of the leaderboard: a model under one set of conditions, with the files that its numbers come from."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from zoo.models.denoiser_config import JsonScalar
from zoo.models.measurements import Strict

Status = Literal["audited", "measured", "reported"]
Evidence = Literal["log", "curve", "document"]


class Value(Strict):
    """A mean over images, with its 95 % interval if it is known."""

    value: float
    low: float | None = None
    high: float | None = None


class Conditions(Strict):
    """Everything that two rows must share for their numbers to be comparable. None is unknown.

    `image_seed` is the seed of a sample of images; None for evenly spaced images.
    """

    task: str
    split: str | None
    skip: int | None
    maximum: int | None
    sample: str | None
    image_seed: int | None
    num_images: int | None
    norm: str
    noise: str
    n0: int | None
    n: int | None
    alpha: float | None
    stopping: str | None
    bound: str | None
    radius_asked: float | None
    tolerance: float | None


class File(Strict):
    """A file behind a number: its name, its SHA-256, and where it is: a copy in the site, or an address, or neither."""

    name: str
    sha256: str
    href: str | None = None
    url: str | None = None


class ClassRadii(Strict):
    """The test images of one class: their number, and the certified radii of those that are right, increasing."""

    name: str
    num_images: int
    radii: tuple[float, ...]


class Trace(Strict):
    """The files that the numbers of a row come from, and where they were published."""

    document: File
    log: File | None
    audit: File | None = None
    weights_sha256: str | None = None
    citation: str | None = None
    place: str | None = None
    url: str | None = None


class Row(Strict):
    """A row. `status` says who made the numbers, `evidence` what they were recomputed from.

    `audited`: measured with this software, and confirmed by an audit of the same weights. `measured`: measured with
    this software. `reported`: published by the authors. Evidence `log`: recomputed from the log next to the document;
    `curve`: consistent with the counts in the document, which name the log's hash; `document`: only stated there.
    `curve` has steps (radius, share, low, high) in increasing radius: `share` of the images are correct with at least
    this radius. `points` has the same four numbers, where only some radii are known. `classes` are those of a log with
    a curve, unless it has many. `facts` are further statements for the details, as label and text.
    """

    id: str = ""
    name: str
    status: Status
    evidence: Evidence
    method: str
    architecture: str
    num_parameters: int | None
    sigma: float | None
    conditions: Conditions | None
    standard_accuracy: Value | None
    average_certified_radius: Value | None
    abstention_rate: Value | None
    curve: tuple[tuple[float, float, float, float], ...] | None
    points: tuple[tuple[float, float, float | None, float | None], ...]
    classes: tuple[ClassRadii, ...] = ()
    hyper_parameters: dict[str, JsonScalar] = Field(default_factory=dict)
    facts: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    trace: Trace
