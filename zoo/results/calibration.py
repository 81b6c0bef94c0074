"""The calibration of label sets: the contents of calibration.json, from which every number about the sets follows."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal

import numpy as np
from pydantic import Field, ValidationError, model_validator

from zoo.errors import CertificationError, CheckpointError
from zoo.host.untrusted_json import parse_json
from zoo.models.measurements import CalibrationConditions, CalibrationResult, Strict
from zoo.models.spec import ModelSpec, Preprocessing
from zoo.results.summary import binomial_interval, interval_of_bounded_mean
from zoo.smoothing.conformal import calibrated_threshold
from zoo.smoothing.label_set import LabelSetSpec

# The last digits of a threshold and of a resampled interval may differ between machines and library versions.
CLOSE = 1e-9
RESAMPLING_SLACK = 0.1


class MeasuredSets(Strict):
    """The sets of images that are not calibration images: one set per image, from one draw.

    `size_counts[size]` is the number of sets with `size` classes.
    """

    num_covered: int = Field(ge=0)
    size_counts: tuple[int, ...] = Field(min_length=2)

    @property
    def num_images(self) -> int:
        return sum(self.size_counts)

    @model_validator(mode="after")
    def _is_possible(self) -> MeasuredSets:
        if min(self.size_counts) < 0 or self.num_images == 0:
            raise ValueError("size_counts must be counts of at least one image")
        if self.num_covered > self.num_images - self.size_counts[0]:
            raise ValueError(f"{self.num_covered} sets cannot contain the true class: fewer sets are not empty")
        return self


class Calibration(CalibrationConditions):
    """The calibration of one network, and what it was made from.

    `images` are the indices of the calibration images in the split of the task; `scores` has the score of the true
    class of each, on one noisy copy. `data` is the digest of the task, empty if its data have published checksums.
    `measured` is about all other images of the split.
    """

    schema_version: Literal[1] = 1
    weights_sha256: str
    preprocessing: Preprocessing
    data: str
    images: tuple[int, ...] = Field(min_length=1)
    scores: tuple[float, ...]
    measured: MeasuredSets

    @model_validator(mode="after")
    def _follows_from_its_scores(self) -> Calibration:
        num_in_split = len(self.images) + self.measured.num_images
        if sorted(set(self.images)) != list(self.images) or self.images[0] < 0 or self.images[-1] >= num_in_split:
            raise ValueError(f"images must be ascending indices of the {num_in_split} images of the split")
        if len(self.scores) != len(self.images):
            raise ValueError(f"{len(self.images)} images have {len(self.scores)} scores")
        try:
            computed = calibrated_threshold(self.scores, alpha=self.alpha, radius=self.radius, sigma=self.sigma)
        except CertificationError as error:
            raise ValueError(str(error)) from error
        if self.threshold != computed:
            raise ValueError(f"threshold is {self.threshold}, but the scores give {computed}")
        return self

    def label_sets(self) -> LabelSetSpec:
        """The guarantee and the threshold of the label sets."""
        return LabelSetSpec(
            radius=self.radius,
            alpha=self.alpha,
            sigma=self.sigma,
            noise=self.noise,
            threshold=self.threshold,
            num_calibration_images=len(self.images),
            task=self.task,
            backend=self.backend,
        )

    def result(self) -> CalibrationResult:
        """The numbers for the card. Coverage and size have intervals at 95 % over the measured images."""
        measured = self.measured
        num_images, sizes = measured.num_images, np.arange(len(measured.size_counts))
        sizes_N = np.repeat(sizes, measured.size_counts).astype(np.float64)
        conditions = {name: getattr(self, name) for name in CalibrationConditions.model_fields}
        return CalibrationResult(
            **conditions,
            num_images=len(self.images),
            num_measured_images=num_images,
            coverage=measured.num_covered / num_images,
            coverage_interval=binomial_interval(measured.num_covered, num_images),
            mean_size=float(sizes_N.mean()),
            mean_size_interval=interval_of_bounded_mean(sizes_N, ceiling=float(sizes[-1])),
        )


def parse_calibration(text: bytes, *, source: str) -> Calibration:
    """The calibration in a calibration.json. Raises: CheckpointError that names `source` and the first fault."""
    try:
        return Calibration.model_validate(parse_json(text))
    except ValidationError as error:
        first = error.errors()[0]
        where = "".join(f"{part}: " for part in first["loc"])
        raise CheckpointError(f"{source}: {where}{first['msg'].removeprefix('Value error, ')}") from error
    except ValueError as error:
        raise CheckpointError(f"{source} is not valid JSON: {error}") from error


def calibration_faults(calibration: Calibration, spec: ModelSpec, *, weights_sha256: str) -> Iterator[str]:
    """One sentence per difference between a calibration and its checkpoint."""
    if calibration.weights_sha256 != weights_sha256:
        yield f"the calibration is of weights with SHA-256 {calibration.weights_sha256}, not of {weights_sha256}"
    if calibration.preprocessing != spec.preprocessing:
        yield (
            f"the calibration is of the input {calibration.preprocessing.describe()} "
            f"({calibration.preprocessing.model_dump()}), not of {spec.preprocessing.model_dump()}"
        )
    if calibration.sigma != spec.certified.sigma:
        yield f"the calibration is at sigma {calibration.sigma}, not at the network's {spec.certified.sigma}"
    if len(calibration.measured.size_counts) != spec.num_classes + 1:
        num_classes = len(calibration.measured.size_counts) - 1
        yield f"the calibration is of {num_classes} classes, not of {spec.num_classes}"


def contradicted_claims(claim: CalibrationResult | None, calibration: Calibration) -> Iterator[str]:
    """One sentence per number of the config that the calibration contradicts."""
    if claim is None:
        yield "there is a calibration, but the config claims no numbers from it"
        return
    computed = calibration.result()
    for name in CalibrationResult.model_fields:
        claimed, expected = getattr(claim, name), getattr(computed, name)
        slack = CLOSE
        if name == "mean_size_interval":
            slack = max(CLOSE, RESAMPLING_SLACK * (expected[1] - expected[0]))
        if not _are_close(claimed, expected, slack):
            yield f"{name.replace('_', ' ')}: the card says {claimed}, the calibration gives {expected}"


def _are_close(claimed: object, expected: object, slack: float) -> bool:
    if isinstance(claimed, tuple) and isinstance(expected, tuple):
        return all(_are_close(*pair, slack) for pair in zip(claimed, expected, strict=True))
    if isinstance(claimed, float) and isinstance(expected, float):
        return math.isclose(claimed, expected, rel_tol=CLOSE, abs_tol=slack)
    return claimed == expected
