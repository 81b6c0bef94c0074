"""Measured results -> model card. What was not measured is said to be not measured."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import jinja2
import yaml

from zoo.measured import CertificationResult, EmpiricalResult
from zoo.spec import ModelSpec

TEMPLATE = "template.md.j2"
UNKNOWN = "unknown"  # task or objective of an imported network, where it was not stated


def render_card(spec: ModelSpec, *, weights_sha256: str) -> str:
    """The README.md of a checkpoint: YAML metadata with a `model-index`, then the card."""
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    environment.filters["percent"] = lambda share: f"{100 * share:.1f}"
    environment.filters["cell"] = _cell
    template = environment.from_string((files("model_cards") / TEMPLATE).read_text())
    metadata = yaml.safe_dump(card_metadata(spec), sort_keys=False, allow_unicode=True)
    return template.render(
        metadata=metadata,
        spec=spec,
        certified=spec.certified,
        origin=spec.certified.origin,
        unknown=UNKNOWN,
        result=spec.certified.certification,
        empirical=spec.certified.empirical,
        weights_sha256=weights_sha256,
    )


def card_metadata(spec: ModelSpec) -> dict[str, Any]:
    """The card's YAML header as plain values."""
    tags = [
        "image-classification",
        "adversarial-robustness",
        *([] if spec.certified.objective == UNKNOWN else [spec.certified.objective]),
        spec.architecture,
        "safetensors",
        "timm",
    ]
    if spec.certified.sigma:
        tags[2:2] = ["certified-robustness", "randomized-smoothing"]
    metadata: dict[str, Any] = {
        "library_name": "certified-zoo",
        "pipeline_tag": "image-classification",
        "tags": tags,
        "metrics": ["accuracy", "certified_accuracy"],
    }
    results = [_index_certification(spec.certified.certification), _index_empirical(spec.certified.empirical)]
    known = [result for result in results if result is not None]
    if known:
        metadata["model-index"] = [{"name": spec.name, "results": known}]
    return metadata


def _cell(text: str) -> str:
    """A stranger's text, such as a file's name, as code in one cell of a table."""
    return "`" + " ".join(text.replace("`", "'").split()).replace("|", "\\|") + "`"


def _index_certification(result: CertificationResult | None) -> dict[str, Any] | None:
    if result is None:
        return None
    how: dict[str, Any] = {
        "norm": "l2",
        "sigma": result.sigma,
        "noise": result.noise,
        "n0": result.n0,
        "n": result.n,
        "alpha": result.alpha,
        "stopping": result.stopping,
        "num_images": result.num_images,
        "images": result.images,
        "seed": result.seed,
    }
    only_some_rules_have = {
        "mean_n": result.mean_n,
        "radius_asked": result.radius_asked,
        "tolerance": result.tolerance,
    }
    how |= {name: value for name, value in only_some_rules_have.items() if value is not None}
    metrics: list[dict[str, Any]] = [
        {
            "type": "certified_accuracy",
            "name": f"certified accuracy at l2 radius {point.at}",
            "value": round(100 * point.accuracy, 2),
            "args": {"radius": point.radius, **how},
        }
        for point in result.certified_accuracy
    ]
    if result.average_certified_radius is not None:
        radius = round(result.average_certified_radius, 4)
        name = "average certified radius"
        metrics.append({"type": "average_certified_radius", "name": name, "value": radius, "args": how})
    return _index_entry(result.task, result.split, metrics)


def _index_empirical(result: EmpiricalResult | None) -> dict[str, Any] | None:
    if result is None:
        return None
    accuracy = {
        "type": "accuracy",
        "name": "accuracy of the base classifier on clean images",
        "value": round(100 * result.standard_accuracy, 2),
        "args": {"num_images": result.num_images, "images": result.images},
    }
    attacked = [each for each in (result, result.smoothed) if each is not None and each.attack is not None]
    return _index_entry(result.task, result.split, [accuracy, *(_index_attack(each) for each in attacked)])


def _index_attack(result: EmpiricalResult) -> dict[str, Any]:
    assert result.attack is not None and result.robust_accuracy is not None
    how = result.attack.model_dump(mode="json", exclude_none=True, exclude={"name", "notes", "smoothed"})
    if result.attack.smoothed is not None:
        how |= result.attack.smoothed.model_dump()
    return {
        "type": "robust_accuracy",
        "name": f"robust accuracy of the {result.classifier} classifier under {result.attack.name} (an upper bound)",
        "value": round(100 * result.robust_accuracy, 2),
        "args": {**how, "num_images": result.num_images, "images": result.images},
    }


def _index_entry(task: str, split: str, metrics: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "task": {"type": "image-classification", "name": "Image classification"},
        "dataset": {"type": task.partition(":")[0], "name": task.partition(":")[0], "split": split},
        "metrics": metrics,
    }
