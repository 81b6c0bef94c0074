"""Converts a checkpoint's spec to a leaderboard entry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from zoo.cards.leaderboard_schema import (
    SCHEMA_VERSION,
    AccuracyUnderNoise,
    AttackedBy,
    Certified,
    CertifiedAccuracyAt,
    DenoiserTraining,
    Empirical,
    Estimate,
    Images,
    LeaderboardEntry,
    Measured,
    Reported,
    Source,
    Training,
)
from zoo.errors import CheckpointError
from zoo.models.catalog import CATALOG
from zoo.models.identity import weights_sha256
from zoo.models.layout import ROWS
from zoo.models.measurements import Attack, CertificationResult, EmpiricalResult, SmoothedTarget
from zoo.models.spec import ModelSpec, Origin
from zoo.results.summary import Interval, binomial_interval
from zoo.smoothing.named_rules import UNNAMED_BOUND

Part = TypeVar("Part", bound=BaseModel)


def leaderboard_entry(spec: ModelSpec, *, files: Mapping[str, str], source: str) -> LeaderboardEntry:
    """The leaderboard entry of a checkpoint: its provenance and the results that its card claims.

    Nothing is measured again; `zoo audit` tests the claims. `files` maps the names of the checkpoint's files to their
    SHA-256; `source` names the checkpoint in errors.
    Raises: CheckpointError if the card claims something impossible, such as a number outside its interval.
    """
    try:
        return _leaderboard_entry(spec, files)
    except ValidationError as error:
        raise CheckpointError(f"{source} makes an impossible claim: {error.errors()[0]['msg']}") from error


def _leaderboard_entry(spec: ModelSpec, files: Mapping[str, str]) -> LeaderboardEntry:
    certified, origin, empirical = spec.certified, spec.certified.origin, spec.certified.empirical
    return _derive(
        LeaderboardEntry,
        spec,
        schema_version=SCHEMA_VERSION,
        input=spec.preprocessing.describe(),
        weights_sha256=weights_sha256(files),
        licence=None if origin is None else origin.licence,
        source=None if origin is None else _derive(Source, origin),
        training=_derive(
            Training,
            certified,
            denoiser=None if certified.denoiser is None else _derive(DenoiserTraining, certified.denoiser),
        ),
        measured=Measured(
            certified=_certified(certified.certification, rows_sha256=files.get(ROWS)),
            empirical_base=_empirical(empirical),
            empirical_smoothed=None if empirical is None else _empirical(empirical.smoothed),
        ),
        reported=_reported(origin),
    )


def _derive(part: type[Part], source: BaseModel, /, **values: object) -> Part:
    """A part of the document with the given values; every other field is copied from the same field of `source`."""
    same_names = {name: getattr(source, name) for name in part.model_fields if name not in values}
    return part.model_validate({**same_names, **values})


def _reported(origin: Origin | None) -> Reported | None:
    """The accuracy that the catalog quotes. It applies to the file that the origin names, not to the checkpoint."""
    published = None if origin is None or origin.catalog_id is None else CATALOG.get(origin.catalog_id)
    if published is None:
        return None
    of = "the network" if published.has_head else "a linear classifier on the network's features"
    return Reported(standard_accuracy=published.accuracy, of=of, task="imagenet", source=published.source)


def _certified(result: CertificationResult | None, *, rows_sha256: str | None) -> Certified | None:
    if result is None:
        return None
    num_abstained = round(result.abstention_rate * result.num_images)
    return _derive(
        Certified,
        result,
        norm="l2",
        bound=result.bound or UNNAMED_BOUND.get(result.stopping),
        images=_derive(Images, result),
        standard_accuracy=_estimate(result.standard_accuracy, result.standard_accuracy_interval),
        certified_accuracy=tuple(
            CertifiedAccuracyAt(radius=p.radius, accuracy=Estimate(value=p.accuracy, low=p.low, high=p.high))
            for p in result.certified_accuracy
        ),
        abstention_rate=_estimate(result.abstention_rate, binomial_interval(num_abstained, result.num_images)),
        average_certified_radius=_estimate(result.average_certified_radius, result.average_certified_radius_interval),
        rows_sha256=rows_sha256,
    )


def _empirical(result: EmpiricalResult | None) -> Empirical | None:
    if result is None:
        return None
    return _derive(
        Empirical,
        result,
        images=_derive(Images, result),
        standard_accuracy=_estimate(result.standard_accuracy, result.standard_accuracy_interval),
        noise=tuple(
            _derive(AccuracyUnderNoise, point, accuracy=_estimate(point.accuracy, point.interval))
            for point in result.noise
        ),
        attack=None if result.attack is None else _attacked_by(result.attack),
        robust_accuracy=_estimate(result.robust_accuracy, result.robust_accuracy_interval),
    )


def _attacked_by(attack: Attack) -> AttackedBy:
    target = dict.fromkeys(SmoothedTarget.model_fields) if attack.smoothed is None else dict(attack.smoothed)
    return _derive(AttackedBy, attack, **target)


def _estimate(value: float | None, interval: Interval | None) -> Estimate | None:
    low, high = (None, None) if interval is None else interval
    return None if value is None else Estimate(value=value, low=low, high=high)
