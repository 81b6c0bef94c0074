"""Writes the OpenAPI document and the JSON Schemas into schemas/."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from serving.description.document import WithoutNulls, openapi_document
from serving.description.shapes import (
    Answer,
    Answers,
    Error,
    InferenceRequest,
    InferenceResponse,
    InstancesRequest,
    LabelSetAnswer,
)
from serving.protocol import Parameters

FOLDER = Path("schemas")
SENT: dict[str, type[BaseModel]] = {
    "parameters": Parameters,
    "request_v1": InstancesRequest,
    "request_v2": InferenceRequest,
}
ANSWERED: dict[str, type[BaseModel]] = {
    "answer": Answer,
    "label_set": LabelSetAnswer,
    "response_v1": Answers,
    "response_v2": InferenceResponse,
    "error": Error,
}


def files() -> dict[str, str]:
    """The generated files: their contents by file name."""
    schemas = {name: model.model_json_schema(schema_generator=WithoutNulls) for name, model in SENT.items()}
    schemas |= {name: model.model_json_schema(schema_generator=GenerateJsonSchema) for name, model in ANSWERED.items()}
    described = {f"{name}.schema.json": schema for name, schema in schemas.items()}
    described["openapi.json"] = openapi_document()
    return {name: json.dumps(schema, indent=2) + "\n" for name, schema in described.items()}


if __name__ == "__main__":
    for name, text in files().items():
        (FOLDER / name).write_text(text)
