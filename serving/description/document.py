"""The OpenAPI 3.1 document of the server, made from the models of what goes over the wire."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, models_json_schema
from pydantic_core.core_schema import NullableSchema, WithDefaultSchema

from serving.description.shapes import ANSWERS, REQUESTS
from serving.protocol import Parameters
from serving.protocol.forms import IMAGE_FIELD, NUMBERED

TITLE = "Certified image classification"
VERSION = "1.0"
JSON, NDJSON, FORM = "application/json", "application/x-ndjson", "multipart/form-data"
IMAGE_TYPES = ("application/octet-stream", "image/*")
DESCRIPTION = (
    "Labels of images with a certified l2 radius, by randomized smoothing. What a client leaves out, the operator has "
    "set; sigma is the model's. Every error has the same body. A failure after an answer has begun stands in a body "
    "whose status was sent as 200: look for `code`."
)


def openapi_document() -> dict[str, Any]:
    """The document, as JSON. It holds for every model and every setting of the operator."""
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
                    "The answers about several images, in KServe v1's form.",
                    content={JSON: _ref("InstancesRequest")},
                    answer={JSON: _ref("Answers")},
                )
            },
            "/v2/models/{model}/infer": {
                "post": _operation(
                    "inferV2",
                    "The answers about several images, in the form of the open inference protocol.",
                    content={JSON: _ref("InferenceRequest")},
                    answer={JSON: _ref("InferenceResponse")},
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
    """JSON Schemas of all that is sent and answered, by name, referring to each other as components."""
    sent = _definitions((*REQUESTS, Parameters), generator=WithoutNulls)
    return {**sent, **_definitions(ANSWERS, generator=GenerateJsonSchema), "Form": _form(sent["Parameters"])}


class WithoutNulls(GenerateJsonSchema):
    """What a client may leave out it does not send as null."""

    def nullable_schema(self, schema: NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: WithDefaultSchema) -> JsonSchemaValue:
        return (
            self.generate_inner(schema["schema"]) if schema.get("default") is None else super().default_schema(schema)
        )


def _definitions(models: Sequence[type[BaseModel]], *, generator: type[GenerateJsonSchema]) -> dict[str, Any]:
    _, found = models_json_schema(
        [(model, "validation") for model in models],
        ref_template="#/components/schemas/{model}",
        schema_generator=generator,
    )
    definitions: dict[str, Any] = found["$defs"]
    return definitions


def _form(parameters: dict[str, Any]) -> dict[str, Any]:
    """One image, or several with numbers, and the parameters as text fields."""
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
        "The answer about one image, or about several; a stream if `stream` is asked for.",
        content={
            **dict.fromkeys(IMAGE_TYPES, image),
            FORM: _ref("Form"),
            JSON: {"oneOf": [_ref("InstancesRequest"), _ref("InferenceRequest")]},
        },
        answer={
            JSON: {"oneOf": [_ref("Answer"), _ref("Answers"), _ref("InferenceResponse")]},
            NDJSON: _ref("StreamLine"),
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
            {"name": each, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
            for each in path_parameters or ["model"]
        ],
        "requestBody": {"required": True, "content": {kind: {"schema": schema} for kind, schema in content.items()}},
        "responses": {
            "200": {
                "description": "answered; an abstention is an answer",
                "content": {kind: {"schema": schema} for kind, schema in answer.items()},
            },
            "429": {
                "description": "as many requests are open as the server holds: ask again later",
                "headers": {"Retry-After": {"schema": {"type": "integer"}, "description": "seconds"}},
                "content": {JSON: {"schema": _ref("Error")}},
            },
            "4XX": {
                "description": "refused: 400 malformed, 404 no such model, 413 too large, 415 no image, 422 a damaged "
                "image or a certification that can never certify",
                "content": {JSON: {"schema": _ref("Error")}},
            },
            "5XX": {
                "description": "the server failed, or is not ready: ask again later",
                "content": {JSON: {"schema": _ref("Error")}},
            },
        },
    }


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}
