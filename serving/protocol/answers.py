"""What the engine found, as JSON objects, and these as text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from zoo.models.spec import ModelSpec
from zoo.smoothing import Certificate, Votes
from zoo.smoothing.class_names import named


def answer(
    result: Certificate | Votes,
    spec: ModelSpec,
    *,
    model_sha256: str,
    deadline_reached: bool | None = None,
    copies: Sequence[str] | None = None,
    final: bool | None = None,
) -> dict[str, Any]:
    """The JSON object that answers one image; every number in it is finite.

    What is None is left out: `deadline_reached` of a request without a deadline, `copies` (PNG in base64) of one that
    asked for none, and `final` of what is no line of a stream.
    """
    result = named(result, spec.certified.class_names)
    told: dict[str, Any] = {
        "label": result.label,
        "class_name": result.class_name,
        "abstained": result.abstained,
    }
    told |= {"certificate": _certificate(result)} if isinstance(result, Certificate) else _votes(result)
    told["model"] = {"name": spec.name, "sha256": model_sha256}
    optional = {"deadline_reached": deadline_reached, "copies": copies, "final": final}
    return told | {name: value for name, value in optional.items() if value is not None}


def error_body(code: int, message: str, *, type: str, is_v2: bool = False) -> dict[str, Any]:
    """The JSON object that answers a request that went wrong: TorchServe's own shape, and v2's beside it."""
    told: dict[str, Any] = {"code": code, "type": type, "message": message}
    return told | {"error": message} if is_v2 else told


def to_json(body: dict[str, Any]) -> str:
    """The body of a response. Raises: ValueError if a number is not finite."""
    return json.dumps(body, indent=2, allow_nan=False)


def to_line(body: dict[str, Any]) -> str:
    """One line of a stream, with its end. Raises: ValueError if a number is not finite."""
    return json.dumps(body, allow_nan=False) + "\n"


def _certificate(result: Certificate) -> dict[str, Any]:
    return {
        "norm": result.norm,
        "radius": result.radius,
        "sigma": result.sigma,
        "alpha": result.alpha,
        "p_a_lower": result.p_a_lower,
        "count_a": result.count_a,
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
    votes = {"n": result.n, "top": [list(pair) for pair in result.top], "alpha": result.alpha}
    return {"certificate": None, "votes": votes}
