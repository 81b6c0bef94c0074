"""Binary tensors of the open inference protocol, in and out, and the parameters and keys that its clients send."""

import base64
import json
import struct

import pytest

from serving.protocol import BinaryBody, Limits, answer, binary_header_length, parse_request, respond, wire_of
from serving.protocol.binary_tensors import HEADER
from tests.zoo.models.test_spec import SPEC
from zoo.errors import ImageError, RequestError
from zoo.smoothing import SmoothingSpec
from zoo.smoothing.certificate import conclude
from zoo.smoothing.vote_counts import VoteCounts

LIMITS = Limits(max_images=3, max_bytes=100)
IMAGES = (b"first \xff\xd8", b"", b"third")


def packed(*elements):
    return b"".join(struct.pack("<I", len(element)) + element for element in elements)


def binary(tensors, *, size=None, header_length=None, **changes):
    """A body with one binary tensor, in which a test changes what it likes."""
    tensor = {
        "name": "image",
        "shape": [len(IMAGES)],
        "datatype": "BYTES",
        "parameters": {"binary_data_size": len(tensors) if size is None else size},
    }
    changed = tensor | changes.pop("tensor", {})
    head = json.dumps({"inputs": [changed], **changes}).encode()
    return {"body": BinaryBody(head + tensors, str(len(head)) if header_length is None else header_length)}


def test_images_are_taken_from_what_follows_the_json():
    row = binary(packed(*IMAGES), id="7", parameters={"n": 50, "priority": 1, "timeout": 10**7})
    request = parse_request(row, LIMITS)
    assert (request.images, request.wire, request.id, request.parameters.n) == (IMAGES, "v2", "7", 50)
    assert not request.has_binary_outputs and wire_of(row) == "v2"


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (binary(packed(*IMAGES), size=5), "binary_data_size is 5, but"),
        (binary(packed(*IMAGES), size=-1), "binary_data_size is -1, but"),
        (binary(packed(*IMAGES), size=True), "binary_data_size is True, but"),
        (binary(packed(*IMAGES), size=10**30), "binary_data_size is 1000"),
        (binary(packed(*IMAGES)[:-1]), "element 2 of the input has 5 bytes, of which some are missing"),
        (binary(packed(*IMAGES) + b"\x01"), "element 3 of the input ends within its length"),
        (binary(struct.pack("<I", 2**32 - 1)), "element 0 of the input has 4294967295 bytes"),
        (binary(packed(*IMAGES, b"x")), "4 images, this server accepts at most 3"),
        (binary(b""), "at least one image"),
        (binary(packed(*IMAGES), tensor={"shape": [2]}), "shape must be [3], got [2]"),
        (binary(packed(*IMAGES), tensor={"shape": [0]}), "shape must be [3], got [0]"),
        (binary(packed(*IMAGES), tensor={"shape": [3, 0]}), "shape must be [3], got [3, 0]"),
        (binary(packed(*IMAGES), tensor={"datatype": "FP32"}), "datatype must be BYTES"),
        (binary(packed(*IMAGES), tensor={"data": []}), 'both "data" and "binary_data_size"'),
        (binary(b"tail", tensor={"parameters": {}, "data": ["aa=="]}), "no input is in binary"),
        (binary(packed(*IMAGES), header_length="3"), "the body is not valid JSON"),
        (binary(packed(*IMAGES), header_length=""), f"the header {HEADER} must be"),
        (binary(packed(*IMAGES), header_length="-5"), f"the header {HEADER} must be"),
        (binary(packed(*IMAGES), header_length="1e3"), f"the header {HEADER} must be"),
        (binary(packed(*IMAGES), header_length="9" * 5000), f"the header {HEADER} must be"),
        (binary(packed(*IMAGES), header_length="\u00b2"), f"the header {HEADER} must be"),
        ({"body": BinaryBody(b"[1]", "3")}, "must be an object"),
        ({"body": BinaryBody(b"[" * 5000, "5000")}, "too deeply nested"),
        (binary(packed(*IMAGES), parameters={"binary_data_output": 1}), "binary_data_output=1: expected true or false"),
        (binary(packed(*IMAGES), parameters={"priority": "high"}), "priority='high': expected an integer"),
        (binary(packed(*IMAGES), parameters={"timeout": True}), "timeout=True: expected an integer"),
        (binary(packed(*IMAGES), parameters={"sequence_id": 3}), "unknown parameter 'sequence_id'"),
        (binary(packed(*IMAGES), model_name=3), '"model_name" must be a string'),
        (binary(packed(*IMAGES), outputs=[{"name": "label", "parameters": {"classification": 3}}]), "may be"),
        (binary(packed(*IMAGES), outputs=[{"name": "label", "parameters": []}]), ""),
        (binary(packed(*IMAGES), outputs=[{"name": "label", "parameters": {"binary_data": 1}}]), "true or false"),
        (binary(packed(*IMAGES), outputs=[{"name": "label", "x": 1}]), "unknown key 'x' in the output label"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_binary_request_is_said(row, said):
    if not said:  # an empty list has no parameters in it
        assert parse_request(row, LIMITS).outputs == ("label",)
        return
    with pytest.raises(RequestError) as refused:
        parse_request(row, LIMITS)
    assert said in str(refused.value) and len(str(refused.value)) < 300


def test_more_bytes_than_the_cap_are_refused_in_binary():
    with pytest.raises(ImageError, match="at most 100"):
        parse_request(binary(packed(*IMAGES, bytes(98))), LIMITS.model_copy(update={"max_images": 4}))


def answers_of(*counts):
    """The answers about images of which so many draws of a thousand were class 1."""
    smoothing = SmoothingSpec(sigma=0.5, n=1000)
    certificates = [conclude(1, VoteCounts({1: count, 0: 1000 - count}), smoothing, alpha=0.001) for count in counts]
    return [answer(certificate, SPEC, model_sha256="ab", repeatable=False) for certificate in certificates]


@pytest.mark.parametrize(
    "asked",
    [
        {"parameters": {"binary_data_output": True}},
        {"outputs": [{"name": name, "parameters": {"binary_data": True}} for name in ("radius", "json", "label")]},
        {"outputs": [{"name": "label", "parameters": {"binary_data": True}}, {"name": "radius"}, {"name": "json"}]},
    ],
)
def test_binary_outputs_follow_json_of_a_length_that_is_known_before_the_answers(asked):
    row = binary(packed(*IMAGES), id="x" * 128, **asked)
    request = parse_request(row, LIMITS)
    length = binary_header_length(request, model="m" * 100, version="1.0")
    for answers in (answers_of(990, 500, 10), answers_of(1000, 1000, 1000)):
        body = respond(request, answers, model="m" * 100, version="1.0")
        head, rest = json.loads(body[:length]), body[length:]
        tensors = {}
        for output in head["outputs"]:
            size = output["parameters"]["binary_data_size"]
            tensors[output["name"]], rest = rest[:size], rest[size:]
            assert output["shape"] == [3] and "data" not in output
        assert rest == b"" and (head["id"], head["model_version"]) == ("x" * 128, "1.0")
        labels, radii = struct.unpack("<3q", tensors["label"]), struct.unpack("<3d", tensors["radius"])
        assert list(labels) == [-1 if each["label"] is None else each["label"] for each in answers]
        assert list(radii) == [each["certificate"]["radius"] for each in answers]
        assert tensors["json"] == packed(*(json.dumps(each).encode() for each in answers))


def test_outputs_of_which_none_is_asked_for_in_binary_come_as_json():
    text = base64.b64encode(b"image").decode()
    tensor = {"name": "image", "shape": [1, 1], "datatype": "BYTES", "data": [[text]]}
    outputs = [{"name": "label", "parameters": {"binary_data": False}}]
    body = {"model_name": "m", "model_version": "1", "inputs": [tensor], "outputs": outputs}
    row = {"body": bytearray(json.dumps(body | {"parameters": {"binary_data_output": True}}).encode())}
    told = json.loads(respond(parse_request(row, LIMITS), answers_of(990), model="m", version="1"))
    assert told["outputs"] == [{"name": "label", "shape": [1], "datatype": "INT64", "data": [1]}]
