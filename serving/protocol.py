"""Requests and answers as they stand on the wire; no tensor and no TorchServe here."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from zoo.errors import RequestError
from zoo.rules import AT_RADIUS, rule_from
from zoo.smoothing import Certificate, Noise, SmoothingSpec, Votes
from zoo.spec import ModelSpec

IMAGE_FIELD = "data"
DRAWS_OF_A_PREDICTION = 100
COUNTS = ("n", "n0")
CERTIFICATION_ONLY = {"n0", "stopping", "radius", "tolerance"}
LONGEST_ECHO = 80


class Parameters(BaseModel):
    """What a client may ask; what it leaves out the operator's defaults fill in. sigma is the model's."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    mode: Literal["certify", "predict"] = "certify"
    stopping: Literal["fixed", "anytime", "at-radius"] = "fixed"
    noise: Noise = "gaussian"
    n: int | None = Field(default=None, ge=1)
    n0: int | None = Field(default=None, ge=1)
    alpha: float | None = Field(default=None, gt=0, lt=1)
    radius: float | None = Field(default=None, ge=0)
    tolerance: float | None = Field(default=None, ge=0)


class Limits(BaseModel):
    """What the operator sets: the defaults of a certification, and the caps of a request."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    n0: int = Field(default=100, ge=1)
    n: int = Field(default=1_000, ge=1)
    alpha: float = Field(default=0.001, gt=0, lt=1)
    max_n: int = Field(default=100_000, ge=1)
    max_pixels: int = Field(default=33_554_432, ge=1)
    max_images: int = Field(default=16, ge=1)

    @model_validator(mode="after")
    def _default_is_below_the_cap(self) -> Limits:
        if max(self.n, self.n0) > self.max_n:
            raise ValueError(f"the defaults n={self.n} and n0={self.n0} must not exceed max_n={self.max_n}")
        return self


@dataclass(frozen=True, slots=True)
class Request:
    """Encoded images in the client's order; a `batched` one is answered by a list below `predictions` (KServe v1)."""

    images: tuple[bytes, ...]
    parameters: Parameters
    batched: bool


def parse_request(row: Mapping[str, object], limits: Limits) -> Request:
    """The request in a TorchServe row: raw bytes or JSON below `body`, or the fields of a multipart form.

    Raises: RequestError with a sentence for the client.
    """
    if set(row) != {"body"}:
        return _parse_form(row, limits)
    body = row["body"]
    if isinstance(body, bytes | bytearray):
        return Request(images=(bytes(body),), parameters=Parameters(), batched=False)
    if isinstance(body, dict):
        return _parse_json(body, limits)
    raise RequestError('the body must be the bytes of an image, a form with the file field "data", or a JSON object')


def answer(result: Certificate | Votes, spec: ModelSpec, *, model_sha256: str) -> dict[str, Any]:
    """The JSON object that answers one image; every number in it is finite."""
    label = result.label
    common: dict[str, Any] = {
        "label": label,
        "class_name": None if label is None else spec.certified.class_names[label],
        "abstained": label is None,
    }
    if isinstance(result, Certificate):
        certificate = {
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
        measured: dict[str, Any] = {"certificate": certificate}
    else:
        votes = {"n": result.n, "top": [list(pair) for pair in result.top], "alpha": result.alpha}
        measured = {"certificate": None, "votes": votes}
    return {**common, **measured, "model": {"name": spec.name, "sha256": model_sha256}}


def error_body(code: int, message: str, *, type: str) -> dict[str, Any]:
    """The JSON object that answers a request that went wrong; TorchServe's own shape."""
    return {"code": code, "type": type, "message": message}


def smoothing_of(parameters: Parameters, limits: Limits, *, sigma: float) -> SmoothingSpec:
    """The certification that a request asks for; an at-radius rule may go up to the operator's cap.

    Raises: CertificationError if it could never certify; RequestError if the stopping rule and its values do not fit.
    """
    stopping = parameters.stopping
    n = parameters.n or (limits.max_n if stopping == AT_RADIUS else limits.n)
    return SmoothingSpec(
        sigma=sigma,
        n0=parameters.n0 or limits.n0,
        alpha=parameters.alpha or limits.alpha,
        stopping=rule_from(stopping, n=n, radius=parameters.radius, tolerance=parameters.tolerance),
        noise=parameters.noise,
    )


def _parse_form(row: Mapping[str, object], limits: Limits) -> Request:
    if not row:
        raise RequestError("the request has no body: send the bytes of an image")
    fields = {name: value for name, value in row.items() if name != IMAGE_FIELD}
    image = row.get(IMAGE_FIELD)
    if not isinstance(image, bytes | bytearray):
        raise RequestError(f'the form has no file field "{IMAGE_FIELD}"')
    return Request(images=(bytes(image),), parameters=parse_parameters(fields, limits), batched=False)


def _parse_json(body: Mapping[str, object], limits: Limits) -> Request:
    unknown = sorted(set(body) - {"instances", "parameters"})
    if unknown:
        raise RequestError(f"unknown key {_shown(unknown[0])} in the body; known: instances, parameters")
    instances, parameters = body.get("instances"), body.get("parameters", {})
    if not isinstance(instances, list) or not instances:
        raise RequestError('"instances" must be a list of at least one {"b64": IMAGE}')
    if len(instances) > limits.max_images:
        raise RequestError(f"the request has {len(instances)} images, at most {limits.max_images} are accepted")
    if not isinstance(parameters, dict):
        raise RequestError('"parameters" must be an object')
    images = tuple(_decode_base64(instance, index) for index, instance in enumerate(instances))
    return Request(images=images, parameters=parse_parameters(parameters, limits), batched=True)


def _decode_base64(instance: object, index: int) -> bytes:
    if not isinstance(instance, dict) or set(instance) != {"b64"} or not isinstance(instance["b64"], str):
        raise RequestError(f'instance {index} must be {{"b64": IMAGE}} with the image in base64')
    try:
        return base64.b64decode(instance["b64"], validate=True)
    except (binascii.Error, ValueError) as error:
        raise RequestError(f"instance {index} is not valid base64") from error


def parse_parameters(given: Mapping[str, object], limits: Limits) -> Parameters:
    """The parameters of a request, from text (a form) or JSON values. Raises: RequestError that names the wrong one."""
    readable = {name: _text(value) for name, value in given.items()}
    for name, value in readable.items():
        if name not in Parameters.model_fields:
            raise RequestError(f"unknown parameter {_shown(name)}; known: {', '.join(Parameters.model_fields)}")
        is_number = isinstance(value, int if name in COUNTS else int | float) and not isinstance(value, bool)
        if not isinstance(value, str) and not is_number:
            raise RequestError(
                f"parameter {name}={_shown(value)}: expected {'an integer' if name in COUNTS else 'a value'}"
            )
    try:
        parameters = Parameters.model_validate(readable)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        raise RequestError(f"parameter {name}={_shown(readable.get(name))}: {first['msg']}") from error
    for name, value in (("n", parameters.n), ("n0", parameters.n0)):
        if value is not None and value > limits.max_n:
            raise RequestError(f"{name}={_shown(value)} is above the cap of this server, {limits.max_n}")
    if parameters.mode == "predict":
        for name in sorted(parameters.model_fields_set & CERTIFICATION_ONLY):
            raise RequestError(f"{name} goes with mode certify only: a prediction has neither radius nor bound")
    return parameters


def _shown(value: object) -> str:
    """A client's own text for a message: short, since TorchServe kills a worker whose response is too large."""
    text = repr(value)
    return text if len(text) <= LONGEST_ECHO else text[:LONGEST_ECHO] + "..."


def _text(value: object) -> object:
    return bytes(value).decode("utf-8", errors="replace") if isinstance(value, bytes | bytearray) else value
