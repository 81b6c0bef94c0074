"""The YAML header of a card. The Hub uses it to filter, show and compare models."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from zoo.cards.tables import data_set_of, license_metadata
from zoo.models.catalog import CATALOG, HubFile
from zoo.models.layout import ONNX
from zoo.models.measurements import CertificationResult, EmpiricalResult
from zoo.models.spec import UNKNOWN, CertifiedConfig, ModelSpec

LIBRARY = "certified-zoo"

Metric = dict[str, Any]


def card_metadata(spec: ModelSpec, *, files: Mapping[str, str]) -> dict[str, Any]:
    """The card's YAML header as plain values; `files` maps the names of the checkpoint's files to their SHA-256.

    The `model-index` contains only what was measured here: one result per data set and split. The `args` of each metric
    list everything that the metric depends on. Numbers that others report of an imported file are only in the card's
    text.
    """
    certified = spec.certified
    origin = certified.origin
    results = _results(certified)
    metadata: dict[str, Any] = {
        **license_metadata(
            certified.licence if origin is None else origin.licence, link=None if origin is None else origin.url
        ),
        "library_name": LIBRARY,
        "pipeline_tag": "image-classification",
        "tags": _tags(spec, files),
    }
    parent = base_model(certified)
    if parent is not None:
        relation = "finetune" if certified.precision is None else "quantized"
        metadata |= {"base_model": parent, "base_model_relation": relation}
    hub_id = data_set_of(certified.task).hub_id
    if hub_id is not None:
        metadata["datasets"] = [hub_id]
    if results:
        metadata["metrics"] = list(dict.fromkeys(metric["type"] for result in results for metric in result["metrics"]))
        metadata["model-index"] = [{"name": spec.name, "results": results}]
    return metadata


def base_model(certified: CertifiedConfig) -> str | None:
    """The Hub repository that training started from, for the Hub's `base_model` key; None if it is not on the Hub."""
    parent = certified.parent_id or ""
    entry = CATALOG.get(parent)
    if entry is not None:
        return entry.file.repository if isinstance(entry.file, HubFile) else None
    match = re.fullmatch(r"([\w.-]+/[\w.-]+)(@.*)?", parent)
    return None if match is None else match[1]


def _tags(spec: ModelSpec, files: Mapping[str, str]) -> list[str]:
    certified = spec.certified
    smoothed = ["certified-robustness", "randomized-smoothing"] if certified.sigma else []
    smoothed += [] if certified.denoiser is None else ["denoised-smoothing"]
    method = [] if certified.objective == UNKNOWN else [certified.objective]
    onnx = ["onnx"] if ONNX in files else []
    formats = ["safetensors", *onnx, "timm"] if certified.precision is None else [*onnx, certified.precision]
    tags = ["image-classification", "adversarial-robustness", *smoothed, *method, spec.architecture, *formats]
    return list(dict.fromkeys(tags))


def _results(certified: CertifiedConfig) -> list[dict[str, Any]]:
    """One entry per data set and split, because the Hub's client distinguishes results by these two only."""
    metrics: dict[tuple[str, str], list[Metric]] = {}
    if certified.certification is not None:
        certification = certified.certification
        key = certification.task, certification.split
        metrics.setdefault(key, []).extend(_certified_metrics(certification))
    if certified.empirical is not None:
        empirical = certified.empirical
        metrics.setdefault((empirical.task, empirical.split), []).extend(_empirical_metrics(empirical))
    return [_result(task, split, split_metrics) for (task, split), split_metrics in metrics.items()]


def _result(task: str, split: str, metrics: list[Metric]) -> dict[str, Any]:
    data = data_set_of(task)
    return {
        "task": {"type": "image-classification", "name": "Image classification"},
        "dataset": {"type": data.hub_id or task, "name": data.title, "split": split, "args": {"task": task}},
        "metrics": metrics,
    }


def _certified_metrics(result: CertificationResult) -> Iterator[Metric]:
    conditions: dict[str, Any] = {
        "norm": "l2",
        "sigma": result.sigma,
        "noise": result.noise,
        "n0": result.n0,
        "n": result.n,
        "alpha": result.alpha,
        "stopping": result.stopping,
        "num_images": result.num_images,
        "images": result.images,
        "backend": result.backend,
        "seed": result.seed,
    }
    optional = {
        "mean_n": result.mean_n,
        "radius_asked": result.radius_asked,
        "tolerance": result.tolerance,
        "bound": result.bound,
        "family_alpha": None if result.family is None else result.family.alpha,
    }
    conditions |= {name: value for name, value in optional.items() if value is not None}
    for point in result.certified_accuracy:
        yield {
            "type": "certified_accuracy",
            "name": f"certified accuracy at l2 radius {point.at} (%)",
            "value": _percent(point.accuracy),
            "args": {"radius": point.radius, "interval_95": [_percent(point.low), _percent(point.high)], **conditions},
        }
    if result.average_certified_radius is not None:
        yield {
            "type": "average_certified_radius",
            "name": "average certified radius (l2, pixels in [0, 1])",
            "value": round(result.average_certified_radius, 4),
            "args": conditions,
        }
    yield {
        "type": "abstention_rate",
        "name": "share of images on which the smoothed classifier abstains (%)",
        "value": _percent(result.abstention_rate),
        "args": conditions,
    }


def _empirical_metrics(result: EmpiricalResult) -> Iterator[Metric]:
    yield {
        "type": "accuracy",
        "name": "accuracy of the base classifier on clean images (%)",
        "value": _percent(result.standard_accuracy),
        "args": {"num_images": result.num_images, "images": result.images},
    }
    for measured in (result, result.smoothed):
        if measured is not None and measured.attack is not None:
            yield _attacked_metric(measured)


def _attacked_metric(result: EmpiricalResult) -> Metric:
    assert result.attack is not None and result.robust_accuracy is not None
    conditions = result.attack.model_dump(mode="json", exclude_none=True, exclude={"name", "notes", "smoothed"})
    if result.attack.smoothed is not None:
        conditions |= result.attack.smoothed.model_dump()
    name = f"robust accuracy of the {result.classifier} classifier under {result.attack.name} (%, an upper bound)"
    return {
        "type": "robust_accuracy",
        "name": name,
        "value": _percent(result.robust_accuracy),
        "args": {**conditions, "num_images": result.num_images, "images": result.images},
    }


def _percent(share: float) -> float:
    return round(100 * share, 2)
