"""What of the protocol passes through the real TorchServe: its routes, heads, streams and calls over gRPC."""

import base64
import itertools
import json

import grpc
import httpx
import pytest

from tests.serving.conftest import on_all_engines

pytestmark = pytest.mark.slow


@pytest.fixture
def image(digit_pngs):
    return digit_pngs[0]


@on_all_engines
def test_a_stream_comes_line_by_line_and_its_radius_never_shrinks(served, image):
    fields = {"stopping": "anytime", "tolerance": "0", "n": "3000", "stream": "true", "copies": "2"}
    with httpx.stream("POST", served.url, files={"data": image}, data=fields, timeout=120) as response:
        assert response.status_code == 200 and response.headers["content-type"] == "application/x-ndjson"
        lines = [json.loads(line) for line in response.iter_lines()]
    assert [line["final"] for line in lines] == [False] * (len(lines) - 1) + [True]
    radii = [line["certificate"]["radius"] for line in lines]
    assert len(lines) > 5 and all(before <= after for before, after in itertools.pairwise(radii)) and radii[-1] > 0
    assert len(lines[-1]["copies"]) == 2 and "copies" not in lines[0]


@on_all_engines
def test_a_stream_that_is_refused_has_a_status_of_its_own(served):
    fields = {"stopping": "anytime", "stream": "true"}
    response = httpx.post(served.url, files={"data": b"nothing"}, data=fields, timeout=60)
    assert (response.status_code, response.headers["content-type"]) == (415, "application/json")


@on_all_engines
def test_at_its_deadline_a_request_is_answered_with_a_certificate(served, image):
    fields = {"stopping": "anytime", "tolerance": "0", "n": "5000", "n0": "10", "deadline_ms": "1"}
    told = httpx.post(served.url, files={"data": image}, data=fields, timeout=60).json()
    assert told["deadline_reached"] is True and told["certificate"]["n"] < 5000


@on_all_engines
def test_numbered_files_of_a_form_are_answered_in_the_order_of_their_numbers(served, digit_pngs):
    files = {f"data_{place}": digit_pngs[place] for place in (2, 0, 1)}
    told = httpx.post(served.url, files=files, data={"mode": "predict", "n": "300"}, timeout=60).json()["predictions"]
    alone = [httpx.post(served.url, files={"data": png}, data={"mode": "predict", "n": "300"}, timeout=60).json()
             for png in digit_pngs[:3]]  # fmt: skip
    assert [each["votes"]["top"][0][0] for each in told] == [each["votes"]["top"][0][0] for each in alone]


@on_all_engines
def test_the_addresses_of_both_inference_protocols_reach_the_model(served, image):
    origin = served.url.partition("/predictions/")[0]
    text = base64.b64encode(image).decode()
    v1 = {"instances": [{"b64": text}], "parameters": {"mode": "predict", "n": 50}}
    told = httpx.post(f"{origin}/v1/models/{served.name}:predict", json=v1, timeout=60).json()
    assert told["predictions"][0]["votes"]["n"] == 50
    tensor = {"name": "image", "shape": [1], "datatype": "BYTES", "data": [text]}
    v2 = {"id": "7", "inputs": [tensor], "parameters": {"n": 100}, "outputs": [{"name": "label"}, {"name": "radius"}]}
    told = httpx.post(f"{origin}/v2/models/{served.name}/infer", json=v2, timeout=60).json()
    assert (told["id"], [each["datatype"] for each in told["outputs"]]) == ("7", ["INT64", "FP64"])
    wrong = httpx.post(f"{origin}/v2/models/{served.name}/infer", json=v2 | {"inputs": []}, timeout=60)
    assert wrong.status_code == 400 and wrong.json()["error"] == wrong.json()["message"]


def test_a_call_over_grpc_is_refused_in_words_and_costs_nobody_anything(served, image):
    fields = {"data": image, "n": b"2000"}
    request = field(1, served.name.encode()) + b"".join(
        field(3, field(1, name.encode()) + field(2, value)) for name, value in fields.items()
    )
    with grpc.insecure_channel(f"127.0.0.1:{served.server.ports.grpc_inference}") as channel:
        call = channel.unary_unary("/org.pytorch.serve.grpc.inference.InferenceAPIsService/Predictions")
        assert b"only over HTTP" in call(request, timeout=60)
    assert httpx.post(served.url, files={"data": image}, data={"mode": "predict"}, timeout=60).status_code == 200


def field(number, value):
    """A length-delimited field of a protocol buffer."""
    size, num = b"", len(value)
    while num > 127:
        size, num = size + bytes([num & 127 | 128]), num >> 7
    return bytes([number << 3 | 2]) + size + bytes([num]) + value
