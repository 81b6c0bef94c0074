"""Requests and responses of the open inference protocol, v2, over HTTP, with its extension for binary tensors.

A request has one tensor of encoded images: `{"inputs": [{"name": "image", "shape": [N], "datatype": "BYTES", "data":
[BASE64, ...]}], "parameters": {...}}`. A response has the tensors `label` (INT64, -1 = abstained), `radius` (FP64) and
`json` (BYTES, the whole answer), with one element per image. With `mode=set` it has `labels` (INT64), one row per image
that is filled up with -1 to the length of the longest row, and `json`. `binary_tensors` describes the extension.

Clients of the protocol also send what has no meaning here. The names and versions of models, `priority` and `timeout`
are checked for their type and have no effect.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from serving.protocol import binary_tensors
from serving.protocol.answers import to_line
from serving.protocol.limits import Limits
from serving.protocol.parameters import Parameters, parse_parameters, shown
from serving.protocol.request import Request, decode_base64, num_bytes_of_base64, require_few, require_small
from zoo.errors import RequestError

INPUTS = "inputs"
KNOWN = {"id", INPUTS, "model_name", "model_version", "outputs", "parameters"}
INPUT_KEYS = {"name", "shape", "datatype", "data", "parameters"}
OUTPUT_KEYS = {"name", "parameters"}
OUTPUTS = ("label", "radius", "json")
OUTPUTS_OF_SETS = ("labels", "json")
DATATYPES = {"label": "INT64", "radius": "FP64", "labels": "INT64", "json": "BYTES"}
BINARY_OUTPUT, BINARY_DATA = "binary_data_output", "binary_data"
WITHOUT_EFFECT = ("priority", "timeout")
ABSTAINED = -1
PADDING = -1
LONGEST_ROW = 10**9  # only for the length of the head of a binary response
LONGEST_ID = 128


def parse(body: Mapping[str, object], limits: Limits, *, binary: bytes | None = None) -> Request:
    """The request in a v2 body; `binary` is what follows the JSON, if the request says that something does.

    Raises: RequestError that names the invalid part; ImageError if there are too many bytes.
    """
    _require_known(body, KNOWN, place="the body")
    for name in ("model_name", "model_version"):
        if not isinstance(body.get(name, ""), str | None):
            raise RequestError(f'"{name}" must be a string')
    parameters = body.get("parameters", {})
    if not isinstance(parameters, dict):
        raise RequestError('"parameters" must be an object')
    is_binary, parameters = _split_parameters(parameters)
    parsed = parse_parameters(parameters, limits)
    outputs, are_binary = _outputs(body.get("outputs"), known=_outputs_of(parsed), default=is_binary)
    return Request(
        images=_images(body.get(INPUTS), binary, limits),
        parameters=parsed,
        wire="v2",
        id=_id(body.get("id")),
        outputs=outputs,
        has_binary_outputs=are_binary,
    )


def response(request: Request, answers: Sequence[dict[str, Any]], *, model: str, version: str) -> dict[str, Any]:
    """The JSON object with the answers to the images as tensors. A prediction has radius 0."""
    values, width = _values(answers), _width(answers)
    outputs = [_described(name, len(answers), width) | {"data": values[name]} for name in _names(request)]
    return _with_head(request, outputs, model=model, version=version)


def binary_response(request: Request, answers: Sequence[dict[str, Any]], *, model: str, version: str) -> bytes:
    """The answers as JSON of `binary_header_length` bytes, followed by the binary tensors."""
    values, width = _values(answers), _width(answers)
    tensors = {name: binary_tensors.encode(DATATYPES[name], values[name]) for name in _names(request)}
    outputs = [
        _described(name, len(answers), width) | {"parameters": {binary_tensors.SIZE: len(tensor)}}
        for name, tensor in tensors.items()
    ]
    head = _with_head(request, outputs, model=model, version=version)
    return binary_tensors.join(
        head, tensors.values(), header_length=binary_header_length(request, model=model, version=version)
    )


def binary_header_length(request: Request, *, model: str, version: str) -> int:
    """The length of the JSON part of a binary response. It does not depend on the answers.

    A server sends it in the head of the response, which may be long before the answers are known.
    """
    outputs = [
        _described(name, len(request.images), LONGEST_ROW) | {"parameters": {binary_tensors.SIZE: 0}}
        for name in _names(request)
    ]
    return binary_tensors.header_length(_with_head(request, outputs, model=model, version=version))


def model_metadata(*, model: str, version: str) -> dict[str, Any]:
    """The metadata of a model, as the protocol defines them; -1 stands for the number of images.

    They describe the default mode. Label sets have other outputs.
    """
    outputs = [{"name": name, "datatype": DATATYPES[name], "shape": [-1]} for name in OUTPUTS]
    inputs = [{"name": "image", "datatype": "BYTES", "shape": [-1]}]
    return {"name": model, "versions": [version], "platform": "certified-zoo", "inputs": inputs, "outputs": outputs}


def _values(answers: Sequence[dict[str, Any]]) -> dict[str, list[Any]]:
    texts = [to_line(answer).rstrip("\n") for answer in answers]
    if any("set" in answer for answer in answers):
        width = _width(answers)
        rows = [answer["labels"] + [PADDING] * (width - len(answer["labels"])) for answer in answers]
        return {"labels": [label for row in rows for label in row], "json": texts}
    certificates = [answer["certificate"] for answer in answers]
    return {
        "label": [ABSTAINED if answer["label"] is None else answer["label"] for answer in answers],
        "radius": [0.0 if certificate is None else certificate["radius"] for certificate in certificates],
        "json": texts,
    }


def _width(answers: Sequence[dict[str, Any]]) -> int:
    """The number of classes in the largest set, at least 1."""
    return max([1, *(len(answer.get("labels", ())) for answer in answers)])


def _outputs_of(parameters: Parameters) -> tuple[str, ...]:
    return OUTPUTS_OF_SETS if parameters.mode == "set" else OUTPUTS


def _names(request: Request) -> tuple[str, ...]:
    return request.outputs or _outputs_of(request.parameters)


def _described(name: str, num_images: int, width: int) -> dict[str, Any]:
    shape = [num_images, width] if name == "labels" else [num_images]
    return {"name": name, "shape": shape, "datatype": DATATYPES[name]}


def _with_head(request: Request, outputs: list[dict[str, Any]], *, model: str, version: str) -> dict[str, Any]:
    body: dict[str, Any] = {"model_name": model, "model_version": version, "outputs": outputs}
    return body if request.id is None else {**body, "id": request.id}


def _split_parameters(given: Mapping[str, object]) -> tuple[bool, dict[str, object]]:
    """Whether the outputs are to be binary, and the parameters that are ours."""
    is_binary = given.get(BINARY_OUTPUT, False)
    if not isinstance(is_binary, bool):
        raise RequestError(f"parameter {BINARY_OUTPUT}={shown(is_binary)}: expected true or false")
    for name in WITHOUT_EFFECT:
        value = given.get(name, 0)
        if isinstance(value, bool) or not isinstance(value, int):
            raise RequestError(f"parameter {name}={shown(value)}: expected an integer")
    return is_binary, {name: value for name, value in given.items() if name not in (BINARY_OUTPUT, *WITHOUT_EFFECT)}


def _images(inputs: object, binary: bytes | None, limits: Limits) -> tuple[bytes, ...]:
    if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict):
        raise RequestError(f'"{INPUTS}" must be a list of one tensor of encoded images')
    tensor = inputs[0]
    _require_known(tensor, INPUT_KEYS, place="the input")
    if tensor.get("datatype") != "BYTES":
        raise RequestError(f"the input's datatype must be BYTES, got {shown(tensor.get('datatype'))}")
    parameters = tensor.get("parameters") or {}
    if isinstance(parameters, dict) and set(parameters) == {binary_tensors.SIZE}:
        images = _binary_images(tensor, parameters[binary_tensors.SIZE], binary or b"", limits)
    elif parameters in ({}, {"content_type": "base64"}):
        if binary:
            raise RequestError("the body goes on after its JSON, but no input is in binary")
        images = _base64_images(tensor.get("data"), limits)
    else:
        raise RequestError('the input accepts no parameters: move them to the "parameters" of the request')
    shape = tensor.get("shape")
    if shape not in ([len(images)], [len(images), 1]):
        raise RequestError(
            f"the input has {len(images)} elements, so its shape must be [{len(images)}], got {shown(shape)}"
        )
    return images


def _base64_images(data: object, limits: Limits) -> tuple[bytes, ...]:
    if isinstance(data, list) and all(isinstance(row, list) and len(row) == 1 for row in data):
        data = [row[0] for row in data]  # nested as the shape [N, 1] is
    if not isinstance(data, list) or not data or not all(isinstance(text, str) for text in data):
        raise RequestError("the input's data must be a list of at least one base64-encoded image")
    require_few(len(data), limits)
    require_small(sum(num_bytes_of_base64(text) for text in data), limits)
    return tuple(decode_base64(text, name=f"element {index} of the input") for index, text in enumerate(data))


def _binary_images(tensor: Mapping[str, object], size: object, binary: bytes, limits: Limits) -> tuple[bytes, ...]:
    if "data" in tensor:
        raise RequestError(f'the input has both "data" and "{binary_tensors.SIZE}"')
    if isinstance(size, bool) or not isinstance(size, int) or size != len(binary):
        raise RequestError(
            f"the input's {binary_tensors.SIZE} is {shown(size)}, but {len(binary)} bytes follow the JSON, whose "
            f"length the header {binary_tensors.HEADER} states"
        )
    images = binary_tensors.decode_bytes(binary, most_elements=limits.max_images)
    if not images:
        raise RequestError("the input must have at least one image")
    require_few(len(images), limits)
    require_small(sum(len(image) for image in images), limits)
    return images


def _id(id: object) -> str | None:
    if id is None or (isinstance(id, str) and len(id) <= LONGEST_ID):
        return id
    raise RequestError(f'"id" must be a string of at most {LONGEST_ID} characters')


def _outputs(outputs: object, *, known: tuple[str, ...], default: bool) -> tuple[tuple[str, ...] | None, bool]:
    """The names of the outputs, or None for all, and whether they are to be binary.

    If one output is to be binary, all are: the length of the JSON part must not depend on the answers.
    """
    if outputs is None or outputs == []:
        return None, default
    if not isinstance(outputs, list) or not all(isinstance(output, dict) for output in outputs):
        raise RequestError('"outputs" must be a list of objects with a "name"')
    names = tuple(output.get("name") for output in outputs)
    for name, output in zip(names, outputs, strict=True):
        if name not in known:
            raise RequestError(f"unknown output {shown(name)}; known: {', '.join(known)}")
        _require_known(output, OUTPUT_KEYS, place=f"the output {name}")
    if len(set(names)) < len(names):
        raise RequestError('"outputs" names an output twice: list each output once')
    are_binary = [_is_binary(output, default=default) for output in outputs]
    return names, any(are_binary)


def _is_binary(output: Mapping[str, object], *, default: bool) -> bool:
    parameters = output.get("parameters") or {}
    if not isinstance(parameters, dict) or not set(parameters) <= {BINARY_DATA}:
        raise RequestError(f'the parameters of an output may be {{"{BINARY_DATA}": true}}, got {shown(parameters)}')
    is_binary = parameters.get(BINARY_DATA, default)
    if not isinstance(is_binary, bool):
        raise RequestError(f"{BINARY_DATA} of an output must be true or false, got {shown(is_binary)}")
    return is_binary


def _require_known(given: Mapping[str, object], known: set[str], *, place: str) -> None:
    unknown = sorted(set(given) - known)
    if unknown:
        raise RequestError(f"unknown key {shown(unknown[0])} in {place}; known: {', '.join(sorted(known))}")
