"""Requests and responses of the open inference protocol, v2, over HTTP.

A request has one tensor of encoded images: `{"inputs": [{"name": "image", "shape": [N], "datatype": "BYTES", "data":
[BASE64, ...]}], "parameters": {...}}`. A response has the tensors `label` (INT64, -1 = abstained), `radius` (FP64) and
`json` (BYTES, the whole answer), with one element per image.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from serving.protocol.answers import to_line
from serving.protocol.limits import Limits
from serving.protocol.parameters import parse_parameters, shown
from serving.protocol.request import Request, decode_base64, num_bytes_of_base64, require_few, require_small
from zoo.errors import RequestError

INPUTS = "inputs"
KNOWN = {"id", INPUTS, "outputs", "parameters"}
INPUT_KEYS = {"name", "shape", "datatype", "data", "parameters"}
OUTPUTS = ("label", "radius", "json")
ABSTAINED = -1
LONGEST_ID = 128


def parse(body: Mapping[str, object], limits: Limits) -> Request:
    """The request in a v2 body.

    Raises: RequestError that names the invalid part; ImageError if there are too many bytes.
    """
    _require_known(body, KNOWN, place="the body")
    parameters = body.get("parameters", {})
    if not isinstance(parameters, dict):
        raise RequestError('"parameters" must be an object')
    texts = _texts(body[INPUTS], limits)
    require_small(sum(num_bytes_of_base64(text) for text in texts), limits)
    images = tuple(decode_base64(text, name=f"element {index} of the input") for index, text in enumerate(texts))
    return Request(
        images=images,
        parameters=parse_parameters(parameters, limits),
        wire="v2",
        id=_id(body.get("id")),
        outputs=_outputs(body.get("outputs")),
    )


def response(request: Request, answers: Sequence[dict[str, Any]], *, model: str, version: str) -> dict[str, Any]:
    """The answers to the images as tensors. A prediction has radius 0."""
    num = len(answers)
    certificates = [answer["certificate"] for answer in answers]
    tensors = {
        "label": ("INT64", [ABSTAINED if answer["label"] is None else answer["label"] for answer in answers]),
        "radius": ("FP64", [0.0 if certificate is None else certificate["radius"] for certificate in certificates]),
        "json": ("BYTES", [to_line(answer).rstrip("\n") for answer in answers]),
    }
    names = request.outputs or OUTPUTS
    outputs = [{"name": name, "shape": [num], "datatype": tensors[name][0], "data": tensors[name][1]} for name in names]
    body: dict[str, Any] = {"model_name": model, "model_version": version, "outputs": outputs}
    return body if request.id is None else {**body, "id": request.id}


def _texts(inputs: object, limits: Limits) -> list[str]:
    if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict):
        raise RequestError(f'"{INPUTS}" must be a list of one tensor of encoded images')
    tensor = inputs[0]
    _require_known(tensor, INPUT_KEYS, place="the input")
    shape, data = tensor.get("shape"), tensor.get("data")
    if tensor.get("datatype") != "BYTES":
        raise RequestError(f"the input's datatype must be BYTES, got {shown(tensor.get('datatype'))}")
    if not isinstance(data, list) or not data or not all(isinstance(text, str) for text in data):
        raise RequestError("the input's data must be a list of at least one base64-encoded image")
    require_few(len(data), limits)
    if shape not in ([len(data)], [len(data), 1]):
        raise RequestError(
            f"the input has {len(data)} elements, so its shape must be [{len(data)}], got {shown(shape)}"
        )
    if tensor.get("parameters", {}) not in ({}, {"content_type": "base64"}):
        raise RequestError('the input accepts no parameters: move them to the "parameters" of the request')
    return data


def _id(id: object) -> str | None:
    if id is None or (isinstance(id, str) and len(id) <= LONGEST_ID):
        return id
    raise RequestError(f'"id" must be a string of at most {LONGEST_ID} characters')


def _outputs(outputs: object) -> tuple[str, ...] | None:
    if outputs is None or outputs == []:
        return None
    if not isinstance(outputs, list) or not all(isinstance(output, dict) for output in outputs):
        raise RequestError('"outputs" must be a list of objects with a "name"')
    names = tuple(output.get("name") for output in outputs)
    for name in names:
        if name not in OUTPUTS:
            raise RequestError(f"unknown output {shown(name)}; known: {', '.join(OUTPUTS)}")
    if len(set(names)) < len(names):
        raise RequestError('"outputs" names an output twice: list each output once')
    return names


def _require_known(given: Mapping[str, object], known: set[str], *, place: str) -> None:
    unknown = sorted(set(given) - known)
    if unknown:
        raise RequestError(f"unknown key {shown(unknown[0])} in {place}; known: {', '.join(sorted(known))}")
