"""A checkpoint as an entry of a leaderboard."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import ValidationError

from zoo.cards.leaderboard_schema import (
    SCHEMA_VERSION,
    AccuracyUnderNoise,
    AttackedBy,
    Certified,
    CertifiedAccuracyAt,
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
from zoo.models.layout import ROWS, WEIGHTS
from zoo.models.measurements import Attack, CertificationResult, EmpiricalResult
from zoo.models.spec import CertifiedConfig, ModelSpec, Origin
from zoo.results.summary import Interval, binomial_interval


def entry_of(spec: ModelSpec, *, files: Mapping[str, str], source: str) -> LeaderboardEntry:
    """What is known of a checkpoint and what its card claims. Nothing is measured anew: `zoo audit` tests claims.

    `files` are the SHA-256 of the checkpoint's files by name; `source` names the checkpoint in errors.
    Raises: CheckpointError if the card claims what cannot be, such as a number outside its interval.
    """
    try:
        return _entry_of(spec, files)
    except ValidationError as error:
        raise CheckpointError(f"{source} claims what cannot be: {error.errors()[0]['msg']}") from error


def _entry_of(spec: ModelSpec, files: Mapping[str, str]) -> LeaderboardEntry:
    certified = spec.certified
    empirical = certified.empirical
    return LeaderboardEntry(
        schema_version=SCHEMA_VERSION,
        name=spec.name,
        architecture=spec.architecture,
        num_classes=spec.num_classes,
        input=spec.preprocessing.describe(),
        weights_sha256=files[WEIGHTS],
        licence=None if certified.origin is None else certified.origin.licence,
        source=_source(certified.origin),
        training=_training(certified),
        measured=Measured(
            certified=_certified(certified.certification, rows_sha256=files.get(ROWS)),
            empirical_base=_empirical(empirical),
            empirical_smoothed=None if empirical is None else _empirical(empirical.smoothed),
        ),
        reported=_reported(certified.origin),
    )


def _training(certified: CertifiedConfig) -> Training:
    return Training(
        objective=certified.objective,
        hyper_parameters=certified.hyper_parameters,
        sigma=certified.sigma,
        task=certified.task,
        parent=certified.parent,
        epochs=certified.epochs,
        seed=certified.seed,
        num_train_images=certified.num_train_images,
        limit_per_class=certified.limit_per_class,
        recipe_digest=certified.recipe_digest,
    )


def _source(origin: Origin | None) -> Source | None:
    if origin is None:
        return None
    return Source(file=origin.file, sha256=origin.sha256, url=origin.url, catalog_id=origin.catalog_id)


def _reported(origin: Origin | None) -> Reported | None:
    """The accuracy that the catalog quotes; it is of the file that the origin names, not of what was made of it."""
    published = None if origin is None or origin.catalog_id is None else CATALOG.get(origin.catalog_id)
    if published is None:
        return None
    of = "the network" if published.has_head else "a linear classifier on the network's features"
    return Reported(standard_accuracy=published.accuracy, of=of, task="imagenet", source=published.source)


def _certified(result: CertificationResult | None, *, rows_sha256: str | None) -> Certified | None:
    if result is None:
        return None
    num_abstained = round(result.abstention_rate * result.num_images)
    points = result.certified_accuracy
    return Certified(
        norm="l2",
        sigma=result.sigma,
        noise=result.noise,
        images=_images(result),
        n0=result.n0,
        n=result.n,
        mean_n=result.mean_n,
        alpha=result.alpha,
        stopping=result.stopping,
        radius_asked=result.radius_asked,
        tolerance=result.tolerance,
        backend=result.backend,
        seed=result.seed,
        standard_accuracy=_estimate(result.standard_accuracy, result.standard_accuracy_interval),
        certified_accuracy=tuple(
            CertifiedAccuracyAt(radius=p.radius, accuracy=Estimate(value=p.accuracy, low=p.low, high=p.high))
            for p in points
        ),
        abstention_rate=_known(result.abstention_rate, binomial_interval(num_abstained, result.num_images)),
        average_certified_radius=_estimate(result.average_certified_radius, result.average_certified_radius_interval),
        rows_sha256=rows_sha256,
    )


def _empirical(result: EmpiricalResult | None) -> Empirical | None:
    if result is None:
        return None
    return Empirical(
        images=_images(result),
        seed=result.seed,
        standard_accuracy=_known(result.standard_accuracy, result.standard_accuracy_interval),
        mean_per_class_accuracy=result.mean_per_class_accuracy,
        noise=tuple(
            AccuracyUnderNoise(sigma=point.sigma, accuracy=_known(point.accuracy, point.interval))
            for point in result.noise
        ),
        attack=_attacked_by(result.attack),
        robust_accuracy=_estimate(result.robust_accuracy, result.robust_accuracy_interval),
        mean_per_class_robust_accuracy=result.mean_per_class_robust_accuracy,
        attacked_abstention_rate=result.attacked_abstention_rate,
    )


def _attacked_by(attack: Attack | None) -> AttackedBy | None:
    if attack is None:
        return None
    smoothed = attack.smoothed
    return AttackedBy(
        name=attack.name,
        version=attack.version,
        norm=attack.norm,
        epsilon=attack.epsilon,
        num_steps=attack.num_steps,
        step_size=attack.step_size,
        start=attack.start,
        loss=attack.loss,
        num_restarts=attack.num_restarts,
        seed=attack.seed,
        sigma=None if smoothed is None else smoothed.sigma,
        num_noise_samples=None if smoothed is None else smoothed.num_noise_samples,
        n=None if smoothed is None else smoothed.n,
        alpha=None if smoothed is None else smoothed.alpha,
        notes=attack.notes,
    )


def _images(result: CertificationResult | EmpiricalResult) -> Images:
    return Images(
        task=result.task,
        split=result.split,
        skip=result.skip,
        maximum=result.maximum,
        num_images=result.num_images,
    )


def _estimate(value: float | None, interval: Interval | None) -> Estimate | None:
    return None if value is None else _known(value, interval)


def _known(value: float, interval: Interval | None) -> Estimate:
    low, high = (None, None) if interval is None else interval
    return Estimate(value=value, low=low, high=high)
