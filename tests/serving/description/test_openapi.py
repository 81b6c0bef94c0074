"""The description of the interface: current, valid, true of every kind of answer, and held to by the running server."""

import asyncio
import base64
import json
from contextlib import closing
from pathlib import Path

import httpx
import jsonschema_rs
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from serving.description import openapi_document
from serving.description.__main__ import files
from serving.driving import DrivenModel
from serving.page.server import page
from tests.serving.conftest import on_each_engine
from tests.serving.in_process import application_of
from tests.serving.protocol.test_protocol import set_answer
from tests.serving.toy import toy_service

pytestmark = pytest.mark.slow
FOLDER = Path(__file__).parents[3] / "schemas"
DOCUMENT = openapi_document()
OPERATIONS = list(DOCUMENT["paths"])
TIMEOUT = 120
FORM = "multipart/form-data"
TORCHSERVES_OWN = '"type": "ErrorDataDecoderException"'  # of forms that it cannot read


def test_the_files_in_the_repository_are_those_that_the_models_make():
    for name, text in files().items():
        assert (FOLDER / name).read_text() == text, f"python -m serving.description writes {name} anew"


def test_the_document_is_valid_openapi():
    schemathesis.openapi.from_dict(DOCUMENT).validate()


def test_the_document_is_served_beside_each_front(served):
    async def over(app):
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as client:
            return (await client.get("/openapi.json")).json()

    assert httpx.get(f"{served.server.operator_url}/openapi.json", timeout=TIMEOUT).json() == DOCUMENT
    assert asyncio.run(over(page(served.server.url, [served.name], describe=openapi_document))) == DOCUMENT
    with closing(DrivenModel(toy_service())) as model:
        assert asyncio.run(over(application_of(model))) == DOCUMENT


def complaints(name, body):
    """What the described schema `name` finds wrong with a body."""
    schema = {"$ref": f"#/components/schemas/{name}", "components": DOCUMENT["components"]}
    return [error.message for error in jsonschema_rs.validator_for(schema).iter_errors(body)]


PREDICTION = {"mode": "predict", "n": "60"}
HALF = {"stopping": "at-radius", "radius": "0.5"}
SMALL_DEADLINE = {"stopping": "anytime", "deadline_ms": "1"}


@pytest.mark.parametrize(
    "fields", [{}, PREDICTION, HALF, SMALL_DEADLINE, {"copies": "2", "n": "60", "bound": "simultaneous"}]
)
@on_each_engine
def test_every_kind_of_answer_is_as_described(served, digit_pngs, fields):
    answer = httpx.post(served.url, files={"data": digit_pngs[0]}, data=fields, timeout=TIMEOUT).json()
    assert complaints("Answer", answer) == []
    assert complaints("Answer", answer | {"surprise": 1}), "the description must be one that something can break"


def test_a_label_set_is_as_described():
    assert complaints("LabelSetAnswer", set_answer(1, 0)) == []
    assert complaints("LabelSetAnswer", set_answer(1) | {"certificate": None}), "a set is no certificate"


def test_streams_and_both_protocols_are_as_described(served, digit_pngs):
    stream = {"stopping": "anytime", "stream": "true"}
    lines = httpx.post(served.url, files={"data": digit_pngs[0]}, data=stream, timeout=TIMEOUT).text.splitlines()
    assert [complaints("StreamLine", json.loads(line)) for line in lines] == [[]] * len(lines)
    b64 = [base64.b64encode(each).decode() for each in digit_pngs[:2]]
    v1 = {"instances": [{"b64": each} for each in b64], "parameters": {"n": 60}}
    tensor = {"name": "image", "shape": [2], "datatype": "BYTES", "data": b64}
    v2 = {"id": "7", "inputs": [tensor], "parameters": {"n": 60}}
    for path, body, request, response in (
        (f"/v1/models/{served.name}:predict", v1, "InstancesRequest", "Answers"),
        (f"/v2/models/{served.name}/infer", v2, "InferenceRequest", "InferenceResponse"),
    ):
        answered = httpx.post(served.server.url + path, json=body, timeout=TIMEOUT)
        assert complaints(request, body) == [] and complaints(response, answered.json()) == []
        refused = httpx.post(served.server.url + path, json={**body, "surprise": 1}, timeout=TIMEOUT)
        assert refused.status_code == 400 and complaints("Error", refused.json()) == []
        assert complaints(request, {**body, "surprise": 1})


def with_real_images(case, image):
    """The case with the picture in the place of every image, and draws by the hundred at most."""
    body = case.body
    if isinstance(body, dict):
        b64 = base64.b64encode(image).decode()
        for instance in body.get("instances") or []:
            if isinstance(instance, dict) and "b64" in instance:
                instance["b64"] = b64
        for tensor in body.get("inputs") or []:
            if isinstance(tensor, dict) and isinstance(tensor.get("data"), list):
                tensor["data"] = [b64 for _ in tensor["data"]]
                tensor["shape"] = [len(tensor["data"])]
        if "data" in body:
            body["data"] = image
        parameters = body.setdefault("parameters", {}) if "instances" in body or "inputs" in body else body
        for name in ("n", "n0"):
            if isinstance(parameters, dict) and isinstance(parameters.get(name), int):
                parameters[name] = parameters[name] % 300 + 1
    return case


@on_each_engine
@pytest.mark.parametrize("mode", list(schemathesis.GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize("path", OPERATIONS)
def test_the_running_server_keeps_to_the_description(served, digit_pngs, path, mode):
    schema = schemathesis.openapi.from_dict(DOCUMENT)
    operation = schema[path]["POST"]
    given_path = {"model": served.name, "version": "1.0"}
    parameters = {name: value for name, value in given_path.items() if f"{{{name}}}" in path}
    statuses = set()

    @settings(
        max_examples=15,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(operation.as_strategy(mode, path_parameters=parameters), st.booleans())
    def holds(case, is_real):
        case = with_real_images(case, digit_pngs[0]) if is_real else case
        response = case.call(base_url=served.server.url, timeout=TIMEOUT)
        if case.media_type == FORM and TORCHSERVES_OWN in response.text:  # test_fuzz shows that it harms nobody
            return
        statuses.add(response.status_code)
        checks = [not_a_server_error, status_code_conformance, content_type_conformance, response_headers_conformance]
        if response.headers["content-type"] != ["application/x-ndjson"]:
            checks.append(response_schema_conformance)
        case.validate_response(response, checks=checks)

    holds()
    assert statuses & set(range(400, 500)), "some of what is asked must have been refused"
