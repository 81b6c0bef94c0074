"""Parser of KServe v1 requests: `{"instances": [{"b64": IMAGE}, ...], "parameters": {...}}`."""

from __future__ import annotations

from collections.abc import Mapping

from serving.protocol.limits import Limits
from serving.protocol.parameters import parse_parameters, shown
from serving.protocol.request import Request, decode_base64, num_bytes_of_base64, require_few, require_small
from zoo.errors import RequestError


def parse(body: Mapping[str, object], limits: Limits) -> Request:
    """The request in a KServe v1 body.

    Raises: RequestError that names the invalid part; ImageError if there are too many bytes.
    """
    unknown = sorted(set(body) - {"instances", "parameters"})
    if unknown:
        raise RequestError(f"unknown key {shown(unknown[0])} in the body; known: instances, parameters")
    instances, parameters = body.get("instances"), body.get("parameters", {})
    if not isinstance(instances, list) or not instances:
        raise RequestError('"instances" must be a list of at least one {"b64": IMAGE}')
    require_few(len(instances), limits)
    if not isinstance(parameters, dict):
        raise RequestError('"parameters" must be an object')
    texts = [_text_of(instance, index) for index, instance in enumerate(instances)]
    require_small(sum(num_bytes_of_base64(text) for text in texts), limits)
    images = tuple(decode_base64(text, name=f"instance {index}") for index, text in enumerate(texts))
    return Request(images=images, parameters=parse_parameters(parameters, limits), wire="v1")


def _text_of(instance: object, index: int) -> str:
    if not isinstance(instance, dict) or set(instance) != {"b64"} or not isinstance(instance["b64"], str):
        raise RequestError(f'instance {index} must be {{"b64": IMAGE}} with a base64-encoded image')
    return instance["b64"]
