"""The engine's results as JSON objects, and their text encoding."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from zoo.models.spec import ModelSpec
from zoo.smoothing import Certificate, FamilyMember, LabelSet, Votes
from zoo.smoothing.class_names import named


def answer(
    result: Certificate | Votes | LabelSet,
    spec: ModelSpec,
    *,
    model_sha256: str,
    repeatable: bool,
    family: FamilyMember | None = None,
    deadline_reached: bool | None = None,
    copies: Sequence[str] | None = None,
    input_image: str | None = None,
    final: bool | None = None,
) -> dict[str, Any]:
    """The JSON object that answers one image. All its numbers are finite.

    Args:
        result: the certificate of a certification, the votes of a prediction, or a label set.
        spec: the model, which provides its name and the class names.
        model_sha256: the SHA-256 of the model's weights.
        repeatable: whether the same request gets the same noise again; False if this answer's noise is fresh.
        family: the place among the questions about the image that share one alpha; None if they are not counted.
        deadline_reached: whether the deadline cut the image off; None if the request has no deadline.
        copies: noisy copies as PNG in base64; None if the request does not ask for copies.
        input_image: the image before noise as PNG in base64; None if the request does not ask for it.
        final: whether this is the last line of a stream; None outside a stream.

    The object omits the keys of arguments that are None.
    """
    result = named(result, spec.certified.class_names)
    body = _label_set(result) if isinstance(result, LabelSet) else _label(result, family)
    body |= {"repeatable": repeatable, "model": {"name": spec.name, "sha256": model_sha256}}
    optional = {"deadline_reached": deadline_reached, "copies": copies, "input_image": input_image, "final": final}
    return body | {name: value for name, value in optional.items() if value is not None}


def error_body(code: int, message: str, *, type: str, is_v2: bool = False) -> dict[str, Any]:
    """The JSON object of an error response: the keys of TorchServe's errors, plus v2's `error` if `is_v2`."""
    body: dict[str, Any] = {"code": code, "type": type, "message": message}
    return body | {"error": message} if is_v2 else body


def to_json(body: dict[str, Any]) -> str:
    """The JSON text of a response body. Raises: ValueError if a number is not finite."""
    return json.dumps(body, indent=2, allow_nan=False)


def to_line(body: dict[str, Any]) -> str:
    """The JSON text of one stream line, with its newline. Raises: ValueError if a number is not finite."""
    return json.dumps(body, allow_nan=False) + "\n"


def _label(result: Certificate | Votes, family: FamilyMember | None) -> dict[str, Any]:
    body = {"label": result.label, "class_name": result.class_name, "abstained": result.abstained}
    place = {"family": None if family is None else asdict(family)}
    if isinstance(result, Certificate):
        return body | {"certificate": _certificate(result) | place}
    return body | {"certificate": None, "votes": _votes(result) | place}


def _label_set(result: LabelSet) -> dict[str, Any]:
    """The keys differ from those of a label, so that a client cannot take the set's radius for a certificate."""
    guarantee = {
        "coverage": "marginal",
        "norm": "l2",
        "radius": result.spec.radius,
        "alpha": result.spec.alpha,
        "sigma": result.spec.sigma,
        "noise": result.spec.noise,
        "n": result.n,
        "task": result.spec.task,
        "num_calibration_images": result.spec.num_calibration_images,
        "input": result.input,
        "backend": result.backend,
    }
    return {"labels": list(result.labels), "class_names": list(result.class_names or ()), "set": guarantee}


def _certificate(result: Certificate) -> dict[str, Any]:
    return {
        "norm": result.norm,
        "radius": result.radius,
        "sigma": result.sigma,
        "alpha": result.alpha,
        "p_a_lower": result.p_a_lower,
        "p_b_upper": result.p_b_upper,
        "count_a": result.count_a,
        "count_b": result.count_b,
        "n0": result.n0,
        "n": result.n,
        "stopping": result.stopping,
        "radius_asked": result.radius_asked,
        "bound": result.bound,
        "noise": result.noise,
        "input": result.input,
        "backend": result.backend,
    }


def _votes(result: Votes) -> dict[str, Any]:
    return {"n": result.n, "top": [list(pair) for pair in result.top], "alpha": result.alpha}
