"""The rows of a study's results on a leaderboard."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from training.study.result import RunResult
from zoo.leaderboard.entries import measured_row
from zoo.leaderboard.folders import Content
from zoo.leaderboard.plausibility import result_faults
from zoo.leaderboard.row import File, Row, Trace
from zoo.leaderboard.size import num_parameters_of
from zoo.models.measurements import CertificationResult

INPUT_SIDE = 224
"""The networks of studies are ResNets, whose number of parameters does not depend on the side of the input."""


def study_rows(content: dict[str, Any], document: Content) -> Sequence[Row] | None:
    """One row per certification of a run; None if the document is not the result of a run.

    A classifier without noise has no certificate and is left out. Raises: ValueError if the numbers contradict each
    other; pydantic's ValidationError if they do not fit the schema.
    """
    if "study" not in content or "certifications" not in content:
        return None
    result = RunResult.model_validate_json(document.data)
    certified = [certification for certification in result.certifications if certification.sigma > 0]
    faults = [fault for certification in certified for fault in result_faults(certification)]
    if faults:
        raise ValueError("; ".join(faults))
    return [_row(result, certification, document) for certification in certified]


def _row(result: RunResult, certification: CertificationResult, document: Content) -> Row:
    recipe = result.request["recipe"]
    objective, architecture = dict(recipe["objective"]), str(recipe["architecture"])
    file = File(name=document.name, sha256=document.sha256)
    row = measured_row(
        certification,
        None,
        name=f"{result.study}/{result.id}",
        method=str(objective.pop("name")),
        architecture=architecture,
        num_parameters=num_parameters_of(architecture, result.num_classes, INPUT_SIDE),
        trace=Trace(document=file, log=None, weights_sha256=result.weights_sha256),
    )
    facts = (
        ("Trained on", f"{result.num_train_images:,} images of {result.request['task']}"),
        ("Started from", str(result.request["starts_from"])),
        ("Seed", str(result.request["seed"])),
    )
    return row.model_copy(update={"hyper_parameters": objective, "facts": facts, "notes": ("The log was not kept.",)})
