"""The Hub's documented rules for a card's metadata.

Sources: huggingface/hub-docs, modelcard.md ("'model-index', 'datasets' and 'license' contents will be verified when git
pushing"; which fields of a result are required) and docs/hub/repositories-licenses.md; huggingface_hub's
`ModelCardData` for the types. The Hub's own code is not public: it may refuse more.
"""

import math
import re
from typing import Any

import yaml

LICENCES = (
    "apache-2.0", "mit", "openrail", "bsd", "bsd-2-clause", "bsd-3-clause", "cc", "cc0-1.0", "cc-by-4.0",
    "cc-by-sa-4.0", "cc-by-nc-4.0", "cc-by-nc-sa-4.0", "gpl-3.0", "lgpl-3.0", "agpl-3.0", "mpl-2.0",
    "unlicense", "odbl", "unknown", "other",
)  # fmt: skip
RELATIONS = ("adapter", "merge", "quantized", "finetune")
REPOSITORY = re.compile(r"[\w.-]+(/[\w.-]+)?")
MODEL = re.compile(r"[\w.-]+/[\w.-]+")
HEADER = re.compile(r"^---\r?\n(.*?)\r?\n---\r?\n", re.DOTALL)


def errors_in(card: str) -> list[str]:
    """Messages about all that the Hub would refuse; none for a card without metadata, at which the Hub only warns."""
    header = HEADER.match(card)
    if header is None:
        return []
    try:
        metadata = yaml.safe_load(header[1])
    except yaml.YAMLError as error:
        return [f"YAML: {error}"]
    if not isinstance(metadata, dict):
        return ["the metadata must be an object"]
    return [*_of_licence(metadata), *_of_lists(metadata), *_of_base_model(metadata), *_of_index(metadata)]


def _of_licence(metadata: dict[str, Any]) -> list[str]:
    licence = metadata.get("license")
    if licence is not None and licence not in LICENCES:
        return [f'"license" must be one of the identifiers, got {licence!r}']
    if licence == "other" and not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", str(metadata.get("license_name", ""))):
        return ['"license_name" must be an id when "license" is other']
    return []


def _of_lists(metadata: dict[str, Any]) -> list[str]:
    errors = []
    for key in ("tags", "datasets", "metrics"):
        values = metadata.get(key, [])
        if not isinstance(values, list) or not all(isinstance(value, str) and value for value in values):
            errors.append(f'"{key}" must be an array of strings')
        elif key == "datasets" and not all(REPOSITORY.fullmatch(value) for value in values):
            errors.append('"datasets" must be ids of data sets')
    for key in ("library_name", "pipeline_tag"):
        if not isinstance(metadata.get(key, ""), str):
            errors.append(f'"{key}" must be a string')
    return errors


def _of_base_model(metadata: dict[str, Any]) -> list[str]:
    base, relation = metadata.get("base_model"), metadata.get("base_model_relation")
    bases = base if isinstance(base, list) else [] if base is None else [base]
    errors = [f'"base_model" with value {id!r} is not a model id' for id in bases if not MODEL.fullmatch(str(id))]
    if relation is not None and relation not in RELATIONS:
        errors.append(f'"base_model_relation" must be one of {RELATIONS}')
    return errors


def _of_index(metadata: dict[str, Any]) -> list[str]:
    errors = []
    for i, model in enumerate(metadata.get("model-index", [])):
        if not isinstance(model.get("name"), str):
            errors.append(f'"model-index[{i}].name" is required')
        for j, result in enumerate(model.get("results", [])):
            where = f"model-index[{i}].results[{j}]"
            required = {"task": ("type",), "dataset": ("type", "name")}
            for part, names in required.items():
                for name in names:
                    if not isinstance(result.get(part, {}).get(name), str):
                        errors.append(f'"{where}.{part}.{name}" is required')
            if not result.get("metrics"):
                errors.append(f'"{where}.metrics" is required')
            errors += _of_metrics(result.get("metrics", []), where)
    return errors


def _of_metrics(metrics: list[dict[str, Any]], where: str) -> list[str]:
    errors = []
    for k, metric in enumerate(metrics):
        if not isinstance(metric.get("type"), str):
            errors.append(f'"{where}.metrics[{k}].type" is required')
        value = metric.get("value")
        if value is None or (isinstance(value, float) and not math.isfinite(value)):
            errors.append(f'"{where}.metrics[{k}].value" is required')
        if not isinstance(metric.get("args", {}), dict):
            errors.append(f'"{where}.metrics[{k}].args" must be an object')
    return errors
