"""The OpenAPI 3.1 document of the server, generated from the pydantic models of requests and responses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, models_json_schema
from pydantic_core.core_schema import NullableSchema, WithDefaultSchema

from serving.description.shapes import ANSWERS, REQUESTS
from serving.protocol import Parameters
from serving.protocol.binary_tensors import MEDIA_TYPE
from serving.protocol.forms import IMAGE_FIELD, NUMBERED

TITLE = "Certified image classification"
VERSION = "1.0"
JSON, NDJSON, FORM = "application/json", "application/x-ndjson", "multipart/form-data"
BINARY = {"type": "string", "contentMediaType": MEDIA_TYPE}  # of a response with binary tensors
IMAGE_TYPES = (MEDIA_TYPE, "image/*")
DESCRIPTION = (
    "Labels of images with a certified l2 radius, by randomized smoothing. The operator's defaults replace omitted "
    "parameters; sigma is fixed by the model. Every error has the same body. A failure after the response has begun is "
    "reported in the body of a response with status 200: check for `code`."
)


def openapi_document() -> dict[str, Any]:
    """The OpenAPI document as a JSON object. It applies to every model and all settings of the operator."""
    return {
        "openapi": "3.1.0",
        "info": {"title": TITLE, "version": VERSION, "description": DESCRIPTION},
        "paths": {
            "/predictions/{model}": {"post": _predictions(path_parameters=["model"], name="predict")},
            "/predictions/{model}/{version}": {
                "post": _predictions(path_parameters=["model", "version"], name="predictWithVersion")
            },
            "/v1/models/{model}:predict": {
                "post": _operation(
                    "predictV1",
                    "Answers for several images, in the KServe v1 format.",
                    content={JSON: _ref("InstancesRequest")},
                    answer={JSON: _ref("Answers")},
                )
            },
            "/v2/models/{model}/infer": {
                "post": _operation(
                    "inferV2",
                    "Answers for several images, in the format of the open inference protocol.",
                    content={JSON: _ref("InferenceRequest")},
                    answer={JSON: _ref("InferenceResponse"), MEDIA_TYPE: BINARY},
                )
            },
        },
        "components": {
            "schemas": schemas(),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
    }


def schemas() -> dict[str, Any]:
    """The JSON Schemas of all requests and responses by name, with references to each other as components."""
    sent = _definitions((*REQUESTS, Parameters), generator=WithoutNulls)
    return {**sent, **_definitions(ANSWERS, generator=GenerateJsonSchema), "Form": _form(sent["Parameters"])}


class WithoutNulls(GenerateJsonSchema):
    """Generates schemas in which a client omits an optional value instead of sending null."""

    def nullable_schema(self, schema: NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: WithDefaultSchema) -> JsonSchemaValue:
        return (
            self.generate_inner(schema["schema"]) if schema.get("default") is None else super().default_schema(schema)
        )


def _definitions(models: Sequence[type[BaseModel]], *, generator: type[GenerateJsonSchema]) -> dict[str, Any]:
    _, schema = models_json_schema(
        [(model, "validation") for model in models],
        ref_template="#/components/schemas/{model}",
        schema_generator=generator,
    )
    definitions: dict[str, Any] = schema["$defs"]
    return definitions


def _form(parameters: dict[str, Any]) -> dict[str, Any]:
    """The schema of a multipart form: one image, or several numbered images, and the parameters as text fields."""
    image = {"type": "string", "contentMediaType": "application/octet-stream"}
    return {
        "title": "Form",
        "description": f"One image as `{IMAGE_FIELD}`, or several as `{NUMBERED}0`, `{NUMBERED}1` and so on.",
        "type": "object",
        "properties": {IMAGE_FIELD: image, **parameters["properties"]},
        "patternProperties": {rf"^{NUMBERED}\d{{1,4}}$": image},
        "additionalProperties": False,
    }


def _predictions(*, path_parameters: list[str], name: str) -> dict[str, Any]:
    image = {"type": "string", "contentMediaType": "application/octet-stream"}
    return _operation(
        name,
        "The answer for one image, or the answers for several images; a stream if the request sets `stream`.",
        content={
            **dict.fromkeys(IMAGE_TYPES, image),
            FORM: _ref("Form"),
            JSON: {"oneOf": [_ref("InstancesRequest"), _ref("InferenceRequest")]},
        },
        answer={
            JSON: {"oneOf": [_ref(name) for name in ("Answer", "LabelSetAnswer", "Answers", "InferenceResponse")]},
            NDJSON: _ref("StreamLine"),
            MEDIA_TYPE: BINARY,
        },
        path_parameters=path_parameters,
    )


def _operation(
    name: str,
    summary: str,
    *,
    content: dict[str, Any],
    answer: dict[str, Any],
    path_parameters: list[str] | None = None,
) -> dict[str, Any]:
    return {
        "operationId": name,
        "summary": summary,
        "parameters": [
            {"name": parameter, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
            for parameter in path_parameters or ["model"]
        ],
        "requestBody": {"required": True, "content": {kind: {"schema": schema} for kind, schema in content.items()}},
        "responses": {
            "200": {
                "description": "success; an abstention is an answer, too",
                "content": {kind: {"schema": schema} for kind, schema in answer.items()},
            },
            "429": {
                "description": "too many open requests: retry after the seconds in Retry-After",
                "headers": {"Retry-After": {"schema": {"type": "integer"}, "description": "seconds"}},
                "content": {JSON: {"schema": _ref("Error")}},
            },
            "4XX": {
                "description": "refused: 400 malformed request, 404 unknown model, 413 too large, 415 not an image, "
                "422 damaged image, or a certification that can never certify",
                "content": {JSON: {"schema": _ref("Error")}},
            },
            "5XX": {
                "description": "the server failed or is not ready: retry later",
                "content": {JSON: {"schema": _ref("Error")}},
            },
        },
    }


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}
