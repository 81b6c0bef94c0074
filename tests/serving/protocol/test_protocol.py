"""The wire: what is understood, what is refused by name, and that every answer is finite JSON."""

import base64
import json
import re
import struct
from collections import Counter
from pathlib import Path

import pytest
from pydantic import ValidationError

from serving.protocol import (
    Limits,
    Parameters,
    answer,
    binary_header_length,
    error_body,
    parse_request,
    respond,
    to_json,
    to_line,
    wire_of,
)
from serving.protocol.parameters import smoothing_of
from tests.zoo.models.test_spec import SPEC
from zoo.errors import ImageError, RequestError
from zoo.smoothing import Anytime, AtRadius, FixedSample, LabelSet, LabelSetSpec, SmoothingSpec
from zoo.smoothing.certificate import conclude
from zoo.smoothing.prediction import predict_from_votes
from zoo.smoothing.vote_counts import VoteCounts

LIMITS = Limits(max_n=5000, max_images=2)
B64 = base64.b64encode(b"image").decode()


def test_raw_bytes_are_one_image_with_the_operators_defaults():
    request = parse_request({"body": bytearray(b"image")}, LIMITS)
    assert (request.images, request.parameters, request.wire) == ((b"image",), Parameters(), "single")


def test_a_form_holds_an_image_and_parameters():
    row = {"data": bytearray(b"image"), "n": bytearray(b"500"), "mode": bytearray(b"predict"), "alpha": b"0.01"}
    request = parse_request(row, LIMITS)
    assert request.images == (b"image",)
    assert request.parameters == Parameters(n=500, mode="predict", alpha=0.01)


def test_json_holds_images_in_order_and_is_answered_by_a_list():
    other = base64.b64encode(b"other").decode()
    body = {"instances": [{"b64": B64}, {"b64": other}], "parameters": {"n0": 50}}
    request = parse_request({"body": body}, LIMITS)
    assert request.images == (b"image", b"other") and request.parameters.n0 == 50 and request.wire == "v1"


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({}, "no body"),
        ({"body": "text"}, "the body must be"),
        ({"body": [1]}, "the body must be"),
        ({"image": b"x"}, 'no file field "data"'),
        ({"data": b"x", "sigma": b"0.5"}, "unknown parameter 'sigma'; known: mode, stopping, noise, n, n0, alpha"),
        ({"data": b"x", "n": b"many"}, "parameter n='many'"),
        ({"data": b"x", "n": b"0"}, "parameter n='0'"),
        ({"data": b"x", "n": b"5001"}, "n=5001 is above this server's cap of 5000"),
        ({"data": b"x", "n0": b"5001"}, "n0=5001 is above this server's cap"),
        ({"data": b"x", "alpha": b"nan"}, "parameter alpha='nan'"),
        ({"data": b"x", "alpha": b"1"}, "parameter alpha='1'"),
        ({"data": b"x", "mode": b"guess"}, "parameter mode='guess'"),
        ({"data": b"x", "stopping": b"whenever"}, "parameter stopping='whenever'"),
        ({"data": b"x", "mode": b"predict", "n0": b"10"}, "n0 requires mode=certify"),
        ({"data": b"x", "mode": b"predict", "radius": b"0.5"}, "radius requires mode=certify"),
        ({"data": b"x", "mode": b"predict", "bound": b"simultaneous"}, "bound requires mode=certify"),
        ({"data": b"x", "stopping": b"anytime", "bound": b"simultaneous"}, "bound requires stopping=fixed"),
        ({"data": b"x", "bound": b"tangent-bets"}, "parameter bound='tangent-bets'"),
        ({"data": b"x", "radius": b"-1"}, "parameter radius='-1'"),
        ({"data": b"x", "tolerance": b"inf"}, "parameter tolerance='inf'"),
        ({"data": b"x", "noise": b"uniform"}, "parameter noise='uniform'"),
        ({"data": b"x", "n": b"\xff"}, "parameter n="),
        ({"data": b"x", "stream": b"true"}, "stream requires stopping=anytime or stopping=at-radius"),
        ({"data": b"x", "deadline_ms": b"5"}, "a fixed-sample bound is not valid before its last draw"),
        ({"data": b"x", "mode": b"predict", "stream": b"true"}, "stream requires mode=certify"),
        ({"data": b"x", "mode": b"predict", "deadline_ms": b"9"}, "deadline_ms requires mode=certify"),
        ({"data": b"x", "stopping": b"anytime", "deadline_ms": b"0"}, "parameter deadline_ms='0'"),
        (
            {"data": b"x", "stopping": b"anytime", "deadline_ms": b"600001"},
            "deadline_ms=600001 is above this server's cap",
        ),
        ({"data": b"x", "stopping": b"anytime", "stream": b"perhaps"}, "parameter stream='perhaps'"),
        ({"data": b"x", "copies": b"9"}, "parameter copies='9'"),
        ({"data": b"x", "copies": b"-1"}, "parameter copies='-1'"),
        ({"data": b"x", "seed": b"1"}, "seed is refused"),
        ({"data_0": b"x", "data": b"y"}, 'both "data" and "data_0"'),
        ({"data_0": b"x", "data_1": b"y", "data_2": b"z"}, "3 images, this server accepts at most 2"),
        ({"data_0": "x"}, "the field \"data_0\" contains text, 'x', not an image"),
        ({"data": "Dear all,"}, "contains text, 'Dear all,', not an image: send the bytes of an image in this field"),
        ({"data": {"b64": B64}}, 'the field "data" contains JSON, {'),
        ({"data": b"x", "sample": b"9"}, "known: mode, stopping, noise, n, n0, alpha"),
        ({"data": b"x", "samples": b"9"}, "Did you mean 'n'?"),
        ({"data": b"x", "deadline": b"9"}, "Did you mean 'deadline_ms'?"),
        ({"data_0": b"x", "data_1": b"y", "copies": b"1"}, "copies requires one image"),
        ({"data_0": b"x", "data_1": b"y", "input_image": b"true"}, "input_image requires one image"),
        ({"data_0": b"x", "data_1": b"y", "stopping": b"anytime", "stream": b"1"}, "stream requires one image"),
        ({"data_x": b"x"}, 'no file field "data"'),
        ({"body": {"instances": [{"b64": B64}], "parameters": {"stream": 1}}}, "stream=1: expected true or false"),
        ({"body": {"instances": [{"b64": B64}], "parameters": {"n": 1.5}}}, "n=1.5: expected an integer"),
        ({"body": {"instances": [{"b64": B64}], "parameters": {"alpha": []}}}, "alpha=[]: expected a value"),
        ({"body": b"x", "n": b"500"}, 'no file field "data"'),
        ({"data": b"x", "body": b"y"}, "unknown parameter 'body'"),
        ({"body": {"instances": [{"b64": B64}], "parameters": {"n": True}}}, "parameter n=True: expected an integer"),
        ({"body": {"instances": [{"b64": B64}], "parameters": {"n": 500.0}}}, "parameter n=500.0: expected an integer"),
        ({"body": {"instances": [{"b64": B64}], "parameters": {"n0": None}}}, "parameter n0=None"),
        ({"body": {"instances": [{"b64": B64}], "parameters": {"n": 10**30}}}, "above this server's cap"),
        ({"body": {}}, '"instances" must be a list'),
        ({"body": {"instances": []}}, '"instances" must be a list'),
        ({"body": {"instances": [{"b64": B64}] * 3}}, "3 images, this server accepts at most 2"),
        ({"body": {"instances": [{"b64": "???"}]}}, "instance 0 is not valid base64"),
        ({"body": {"instances": ["x"]}}, "instance 0 must be"),
        ({"body": {"instances": [{"b64": B64, "n": 3}]}}, "instance 0 must be"),
        ({"body": {"instances": [{"b64": B64}], "parameters": []}}, '"parameters" must be an object'),
        ({"body": {"instances": [{"b64": B64}], "signature_name": "x"}}, "unknown key 'signature_name'"),
        ({"body": {"instances": [{"b64": B64}], "parameters": {"n": {}}}}, "parameter n={}"),
    ],
)
def test_what_is_not_understood_is_refused_by_name(row, said):
    with pytest.raises(RequestError) as refused:
        parse_request(row, LIMITS)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    "row",
    [
        {"data": b"x", "n": b"9" * 100_000},
        {"data": b"x", "n": b"x" * 100_000},
        {"data": b"x", "y" * 100_000: b"1"},
        {"body": {"instances": [{"b64": B64}], "parameters": {"n": ["z" * 100_000]}}},
        {"body": {"z" * 100_000: 1}},
    ],
)
def test_no_refusal_repeats_more_than_a_little_of_what_was_sent(row):
    with pytest.raises(RequestError) as refused:
        parse_request(row, LIMITS)
    assert len(str(refused.value)) < 500


@pytest.mark.parametrize(
    "row",
    [
        {"body": bytearray(101)},
        {"data": bytearray(101)},
        {"data_0": bytearray(51), "data_1": bytearray(50)},
        {"body": {"instances": [{"b64": base64.b64encode(bytes(104)).decode()}]}},
        {"body": {"inputs": [{"shape": [1], "datatype": "BYTES", "data": [base64.b64encode(bytes(104)).decode()]}]}},
    ],
)
def test_more_bytes_than_the_cap_are_refused_in_every_form(row):
    with pytest.raises(ImageError, match="this server accepts at most 100") as refused:
        parse_request(row, LIMITS.model_copy(update={"max_bytes": 100}))
    assert refused.value.http_status == 413


def test_several_images_of_a_form_come_in_the_order_of_their_numbers():
    row = {f"data_{number}": str(number).encode() for number in (10, 2, 1)} | {"mode": b"predict"}
    request = parse_request(row, LIMITS.model_copy(update={"max_images": 3}))
    assert request.images == (b"1", b"2", b"10") and request.wire == "v1"


def test_a_seed_is_read_where_the_operator_allows_it_and_has_32_bits():
    limits = LIMITS.model_copy(update={"allows_seed": True})
    assert parse_request({"data": b"x", "seed": b"4294967295"}, limits).parameters.seed == 2**32 - 1
    with pytest.raises(RequestError, match="parameter seed='4294967296'"):
        parse_request({"data": b"x", "seed": b"4294967296"}, limits)
    with pytest.raises(RequestError, match=r"known: .*seed"):
        parse_request({"data": b"x", "sigma": b"1"}, limits)


@pytest.mark.parametrize("given", [True, "true", "1", "on"])
def test_true_is_understood_in_json_and_in_forms(given):
    body = {"instances": [{"b64": B64}], "parameters": {"stream": given, "stopping": "anytime"}}
    assert parse_request({"body": body}, LIMITS).parameters.stream is True


TENSOR = {"name": "image", "shape": [2], "datatype": "BYTES", "data": [B64, B64]}


def test_tensors_of_the_open_inference_protocol_are_understood():
    body = {"id": "7", "inputs": [TENSOR], "parameters": {"n": 50}, "outputs": [{"name": "label"}]}
    request = parse_request({"body": body}, LIMITS)
    assert (request.images, request.wire, request.id) == ((b"image",) * 2, "v2", "7")
    assert request.outputs == ("label",) and request.parameters.n == 50
    column = TENSOR | {"shape": [2, 1], "parameters": {"content_type": "base64"}}
    assert len(parse_request({"body": {"inputs": [column]}}, LIMITS).images) == 2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"inputs": []}, "a list of one tensor"),
        ({"inputs": [TENSOR, TENSOR]}, "a list of one tensor"),
        ({"inputs": ["x"]}, "a list of one tensor"),
        ({"inputs": [TENSOR | {"datatype": "FP32"}]}, "datatype must be BYTES, got 'FP32'"),
        ({"inputs": [TENSOR | {"shape": [3]}]}, "shape must be [2], got [3]"),
        ({"inputs": [TENSOR | {"shape": None}]}, "shape must be [2], got None"),
        ({"inputs": [TENSOR | {"data": []}]}, "at least one base64-encoded image"),
        ({"inputs": [TENSOR | {"data": [1, 2]}]}, "at least one base64-encoded image"),
        ({"inputs": [TENSOR | {"data": [B64, "???"]}]}, "element 1 of the input is not valid base64"),
        ({"inputs": [TENSOR | {"data": [B64] * 3, "shape": [3]}]}, "3 images, this server accepts at most 2"),
        ({"inputs": [TENSOR | {"parameters": {"n": 5}}]}, "the input accepts no parameters"),
        ({"inputs": [TENSOR | {"typ": "x"}]}, "unknown key 'typ' in the input"),
        ({"raw": 1}, "unknown key 'raw' in the body"),
        ({"id": 7}, '"id" must be a string'),
        ({"id": "x" * 129}, '"id" must be a string'),
        ({"outputs": "label"}, '"outputs" must be a list'),
        ({"outputs": [{"name": "logits"}]}, "unknown output 'logits'; known: label, radius, json"),
        ({"outputs": [{"name": {}}]}, "unknown output {}"),
        ({"outputs": [{"name": "label"}] * 2}, "names an output twice"),
        ({"parameters": 5}, '"parameters" must be an object'),
        ({"parameters": {"n": "x"}}, "parameter n='x'"),
        ({"parameters": {"stream": True, "stopping": "anytime"}}, "not available in the open inference protocol"),
    ],
)
def test_what_is_wrong_with_a_tensor_is_said(change, said):
    row = {
        "body": {"inputs": [TENSOR | {"data": [B64], "shape": [1]}] if "parameters" in change else [TENSOR]} | change
    }
    with pytest.raises(RequestError) as refused:
        parse_request(row, LIMITS)
    assert said in str(refused.value) and wire_of(row) == "v2"


def test_only_the_outputs_that_were_asked_for_are_answered():
    body = {"inputs": [TENSOR], "outputs": [{"name": "radius"}, {"name": "label"}]}
    answers = [
        answer(concluded(label, count), SPEC, model_sha256="ab", repeatable=False)
        for label, count in ((1, 990), (1, 500))
    ]
    told = json.loads(respond(parse_request({"body": body}, LIMITS), answers, model="m", version="2.0"))
    assert [each["name"] for each in told["outputs"]] == ["radius", "label"] and told["model_version"] == "2.0"
    radius, label = (each["data"] for each in told["outputs"])
    assert label == [1, -1] and radius[0] > 0 == radius[1] and "id" not in told


LABEL_SETS = LabelSetSpec(
    radius=0.25, alpha=0.1, sigma=0.5, noise="gaussian", threshold=1.0, num_calibration_images=99, task="pets",
    backend="torch-cpu-float32",
)  # fmt: skip


def set_answer(*labels):
    found = LabelSet(labels=labels, spec=LABEL_SETS, input="3x224x224", backend="torch-cpu-float32")
    return answer(found, SPEC, model_sha256="ab", repeatable=False)


def test_a_label_set_is_not_answered_as_a_certificate():
    told = set_answer(1, 0)
    assert told["labels"] == [1, 0] and told["class_names"] == ["dog", "cat"] and told["repeatable"] is False
    assert told["set"]["coverage"] == "marginal" and (told["set"]["radius"], told["set"]["alpha"]) == (0.25, 0.1)
    assert not {"label", "certificate", "abstained", "radius"} & set(told)


@pytest.mark.parametrize(("labels", "rows"), [(([1, 0], [1]), [1, 0, 1, -1]), (([], []), [-1, -1])])
def test_label_sets_are_rows_of_one_tensor_filled_up_with_minus_one(labels, rows):
    request = parse_request({"body": {"inputs": [TENSOR], "parameters": {"mode": "set"}}}, LIMITS)
    answers = [set_answer(*each) for each in labels]
    told = json.loads(respond(request, answers, model="m", version="2.0"))
    tensor, texts = told["outputs"]
    assert (tensor["name"], tensor["datatype"], tensor["data"]) == ("labels", "INT64", rows)
    assert tensor["shape"] == [2, len(rows) // 2] and json.loads(texts["data"][0]) == answers[0]
    binary = {"inputs": [TENSOR], "parameters": {"mode": "set", "binary_data_output": True}}
    packed = respond(parse_request({"body": binary}, LIMITS), answers, model="m", version="2.0")
    length = binary_header_length(parse_request({"body": binary}, LIMITS), model="m", version="2.0")
    (size, _) = (output["parameters"]["binary_data_size"] for output in json.loads(packed[:length])["outputs"])
    assert struct.unpack(f"<{len(rows)}q", packed[length : length + size]) == tuple(rows)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"n": 5}, "parameter n does not apply to mode=set"),
        ({"stopping": "anytime"}, "parameter stopping does not apply"),
        ({"deadline_ms": 5}, "parameter deadline_ms does not apply"),
        ({"seed": 5}, "every label set needs noise that nobody could foresee"),
    ],
)
def test_a_label_set_accepts_what_belongs_to_its_calibration_only(fields, said):
    limits = LIMITS.model_copy(update={"allows_seed": True})
    allowed = {"mode": "set", "radius": 0.25, "alpha": 0.1, "noise": "gaussian", "copies": 1}
    assert parse_request({"body": {"instances": [{"b64": B64}], "parameters": allowed}}, limits)
    with pytest.raises(RequestError, match=said):
        parse_request({"body": {"instances": [{"b64": B64}], "parameters": {"mode": "set"} | fields}}, limits)
    for mode, name in (("set", "radius"), ("certify", "labels")):
        body = {"inputs": [TENSOR], "outputs": [{"name": name}], "parameters": {"mode": mode}}
        with pytest.raises(RequestError, match=f"unknown output '{name}'"):
            parse_request({"body": body}, limits)


def test_a_number_that_is_not_finite_is_never_sent():
    for encode in (to_json, to_line):
        with pytest.raises(ValueError, match="not JSON compliant"):
            encode({"radius": float("inf")})


def test_an_error_has_the_shape_of_torchserve_and_that_of_the_open_inference_protocol_where_it_was_asked_in_that():
    assert error_body(400, "no", type="T") == {"code": 400, "type": "T", "message": "no"}
    assert error_body(400, "no", type="T", is_v2=True)["error"] == "no"


def concluded(label, count_a):
    votes = VoteCounts({label: count_a, label + 1: 1000 - count_a})
    return conclude(label, votes, SmoothingSpec(sigma=0.5, n=1000), alpha=0.001)


def test_a_certificate_is_answered_with_all_that_it_depends_on():
    told = answer(concluded(1, 990), SPEC, model_sha256="ab", repeatable=False)
    assert (told["label"], told["class_name"], told["abstained"]) == (1, "dog", False)
    certificate = told["certificate"]
    assert set(certificate) >= {
        "norm", "radius", "sigma", "alpha", "p_a_lower", "p_b_upper", "count_a", "count_b", "n0", "n", "stopping",
        "bound", "input", "noise", "backend",
    }  # fmt: skip
    assert told["model"] == {"name": "resnet50.consistency_s50_pets", "sha256": "ab"}


def test_an_abstention_has_no_label_and_radius_zero():
    told = answer(concluded(1, 500), SPEC, model_sha256="ab", repeatable=False)
    assert (told["label"], told["class_name"], told["abstained"]) == (None, None, True)
    assert told["certificate"]["radius"] == 0.0


def test_a_prediction_has_votes_and_no_certificate():
    told = answer(
        predict_from_votes(Counter({0: 3, 1: 97}), alpha=0.001, sigma=0.5), SPEC, model_sha256="ab", repeatable=False
    )
    assert told["certificate"] is None
    assert told["votes"] == {"n": 100, "top": [[1, 97], [0, 3]], "alpha": 0.001, "family": None}


@pytest.mark.parametrize("count", [0, 500, 1000])
def test_every_answer_is_finite_json(count):
    json.dumps(answer(concluded(0, count), SPEC, model_sha256="ab", repeatable=False), allow_nan=False)


def test_defaults_above_the_cap_are_refused():
    with pytest.raises(ValidationError, match="must not exceed max_n"):
        Limits(n=10, max_n=5)
    with pytest.raises(ValidationError, match="must not exceed max_draws_per_request=1000"):
        Limits(n=1000, max_draws_per_request=1000)


@pytest.mark.parametrize(
    ("fields", "rule"),
    [
        ({}, FixedSample(1000)),
        ({"n": 200}, FixedSample(200)),
        ({"bound": "simultaneous"}, FixedSample(1000, bound="simultaneous")),
        ({"bound": "clopper-pearson"}, FixedSample(1000)),
        ({"stopping": "anytime", "tolerance": 0.1}, Anytime(1000, 0.1)),
        ({"stopping": "at-radius", "radius": 0.5}, AtRadius(0.5, max_n=5000)),
        ({"stopping": "at-radius", "radius": 0.5, "n": 900}, AtRadius(0.5, max_n=900)),
    ],
)
def test_a_request_chooses_its_stopping_rule(fields, rule):
    assert smoothing_of(Parameters(**fields), LIMITS, sigma=0.5).stopping == rule


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"stopping": "at-radius"}, "requires the radius to test"),
        ({"radius": 0.5}, "applies only to the stopping rule at-radius"),
        ({"stopping": "at-radius", "radius": 0.5, "tolerance": 0.1}, "applies only to the stopping rule anytime"),
        ({"stopping": "at-radius", "radius": 5.0}, "radius 5 can never be certified"),
    ],
)
def test_a_rule_without_what_it_needs_is_refused(fields, said):
    with pytest.raises(RequestError, match=said):
        smoothing_of(Parameters(**fields), LIMITS, sigma=0.5)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b' {"instances": [', "not valid JSON: Expecting value, line 1 column 17"),
        (b'{"instances": "\xff"}', "not UTF-8"),
        (b"[" * 100_000, "too deeply nested"),
        (b'{"instances": []}', '"instances" must be a list'),
        (b'\n {"inputs": []}', "a list of one tensor"),
        (b"[1]", "the body must be"),
    ],
)
def test_json_that_comes_as_bytes_is_read_as_json(body, said):
    with pytest.raises(RequestError, match=said):
        parse_request({"body": bytearray(body)}, LIMITS)


def test_the_page_for_clients_names_every_parameter_every_output_and_no_other_parameter():
    page = (Path(__file__).parents[3] / "docs" / "reference" / "http.md").read_text()
    table = page.split("## Parameters")[1].split("## Answers")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, flags=re.MULTILINE)) == set(Parameters.model_fields)
    assert all(
        f'"{name}"' in page
        for name in answer(concluded(1, 990), SPEC, model_sha256="ab", repeatable=False)["certificate"]
    )
    assert all(f'"{name}"' in page for name in set_answer(0)["set"])
