"""The handler against TorchServe's own context, without its server."""

import ast
import io
import json
import math
from concurrent.futures import Future
from types import SimpleNamespace

import pytest
import torch
from PIL import Image
from ts.context import Context, RequestProcessor
from ts.service import Service

from handlers.smoothed_classifier import SmoothedClassifierHandler
from serving.server.archive import handler_file
from serving.service.decoding import InlineDecoder
from serving.service.step_size import StepSize
from zoo.errors import CertificationError, ImageError
from zoo.smoothing import NoisySampler, SamplingOptions

PLAIN_END, STREAM_END, GOES_ON = None, True, False
HTTP = {"Host": "localhost"}


def png(value=0):
    buffer = io.BytesIO()
    Image.new("L", (8, 8), value).save(buffer, format="PNG")
    return bytearray(buffer.getvalue())


@pytest.fixture
def handler(digits_checkpoint, tmp_path, monkeypatch):
    monkeypatch.setenv("ZOO_FAMILIES", str(tmp_path / "families"))
    monkeypatch.setattr("handlers.smoothed_classifier.SECONDS_PER_CALL", 0.0)  # one step per call, on any machine
    handler = SmoothedClassifierHandler()
    manifest = {"model": {"modelName": "m", "modelVersion": "1.0"}}
    context = Context(
        "m", str(digits_checkpoint.path), manifest, 8, None, "0.12", model_yaml_config={"smoothing": {"n": 200}}
    )
    handler.initialize(context)
    base = handler.service.engine.sampler.base
    handler.service.engine.sampler = NoisySampler(base, SamplingOptions(batch_size=64))
    handler.service.step_size = StepSize(64, largest=64, seconds=math.inf)  # on a busy machine it would be smaller
    handler.service._decoder.close()
    handler.service._decoder = Decoder(handler.service.spec.preprocessing, handler.service.limits)
    return handler


class Decoder(InlineDecoder):
    """Decodes at once, unless `held_back` collects the futures of images that are still to be decoded."""

    held_back = None

    def submit(self, images):
        if self.held_back is None:
            return super().submit(images)
        self.held_back.append(Future())
        return self.held_back[-1]


def step(handler, rows, *, headers=None):
    """One call as TorchServe makes it: outputs, criteria, statuses and content types by request id."""
    context = Context("m", ".", {}, 8, None, "0.12")
    context.request_ids = ids = dict(enumerate(rows))
    context.request_processor = [RequestProcessor(dict(HTTP if headers is None else headers)) for _ in rows]
    outputs = handler.handle(list(rows.values()), context)
    assert len(outputs) == len(rows) == len(context.stopping_criteria)
    assert context.request_ids is ids, "TorchServe reads the dict that it passed"
    return {
        id: (
            json.loads(outputs[index]) if outputs[index] else "",
            context.stopping_criteria[index](outputs[index]),
            context.get_response_status(index)[0],
            context.get_response_content_type(index),
        )
        for index, id in ids.items()
    }


def test_torchserve_finds_exactly_one_class_in_the_file():
    tree = ast.parse(handler_file().read_text())
    assert [node.name for node in tree.body if isinstance(node, ast.ClassDef)] == ["SmoothedClassifierHandler"]


def test_a_request_that_ends_at_its_first_step_gets_a_response_of_its_own(handler):
    told = step(
        handler, {"bad": {"body": bytearray(b"nothing")}, "quick": {"data": png(), "mode": b"predict", "n": b"20"}}
    )
    body, criterion, status, content_type = told["bad"]
    assert (criterion, status, content_type, body["code"]) == (PLAIN_END, 415, "application/json", 415)
    body, criterion, status, _ = told["quick"]
    assert (criterion, status) == (PLAIN_END, 200) and body["votes"]["n"] == 20


def test_a_longer_request_streams_nothing_until_its_answer(handler):
    row = {"data": png(), "n": b"200"}
    output, criterion, status, content_type = step(handler, {"x": row})["x"]
    assert (output, criterion, status, content_type) == ("", GOES_ON, 200, "application/json")
    seen = []
    while criterion is GOES_ON:
        output, criterion, _, _ = step(handler, {"x": {}})["x"]  # the body comes at the first step only
        seen.append(output)
    assert criterion is STREAM_END and seen[:-1] == [""] * (len(seen) - 1)
    assert seen[-1]["certificate"]["n"] == 200


def test_a_call_makes_the_short_steps_that_fit_into_its_time(handler, monkeypatch):
    monkeypatch.setattr("handlers.smoothed_classifier.SECONDS_PER_CALL", math.inf)
    body, criterion, status, _ = step(handler, {"x": {"data": png(), "n": b"200"}})["x"]
    assert (criterion, status, body["certificate"]["n"]) == (PLAIN_END, 200, 200)


def test_a_row_is_left_out_of_the_message_until_its_image_is_decoded_and_can_still_be_refused(handler):
    handler.service._decoder.held_back = held_back = []
    rows = {"slow": {"data": png(), "mode": b"predict", "n": b"20"}, "damaged": {"data": b"damaged"}}
    assert step(handler, rows) == {}
    message = torchserve_message(handler, rows)
    assert message == [], "TorchServe then sends nothing to these clients, and passes the rows again"
    held_back[1].set_exception(ImageError("the image is truncated or damaged", http_status=422))
    assert step(handler, rows)["damaged"][1:3] == (PLAIN_END, 422)
    held_back[0].set_result([torch.zeros(3, 32, 32)])
    body, criterion, status, _ = step(handler, {"slow": rows["slow"]})["slow"]
    assert (criterion, status, body["votes"]["n"]) == (PLAIN_END, 200, 20)


def torchserve_message(handler, rows):
    """The ids in the message that TorchServe's own worker code makes of a call."""
    context = Context("m", ".", {}, 8, None, "0.12")
    batch = [
        {
            "requestId": id.encode(),
            "headers": [{"name": b"Host", "value": b"localhost"}],
            "parameters": [{"name": name, "value": value, "contentType": ""} for name, value in row.items()],
        }
        for id, row in rows.items()
    ]
    context.metrics = SimpleNamespace(request_ids=None, add_time=lambda *_: None)
    service = Service("m", ".", {}, handler.handle, None, 8)
    service._context, service.cl_socket = context, None
    message = service.predict(batch)
    return [id for id in rows if id.encode() in message]


def test_requests_join_and_leave_between_steps(handler):
    first = step(handler, {"long": {"data": png(), "n": b"10000"}})
    assert first["long"][1] is GOES_ON
    second = step(handler, {"late": {"body": bytearray(b"nothing")}, "long": {}})
    assert second["late"][1] is PLAIN_END and second["long"][1] is GOES_ON
    third = step(handler, {"new": {"data": png(), "mode": b"predict", "n": b"20"}})
    assert third["new"][1] is PLAIN_END and handler.service.engine.num_open == 0 and not handler.streaming


def test_a_failure_in_midstream_ends_the_stream_with_an_error_object(handler, monkeypatch):
    step(handler, {"x": {"data": png(), "n": b"10000"}})

    def fail(x_BCHW):
        raise CertificationError("the base classifier returned a logit that is not finite")

    monkeypatch.setattr(handler.service.engine.sampler.base, "classify", fail)
    output, criterion, _, _ = step(handler, {"x": {}})["x"]
    assert criterion is STREAM_END and output["code"] == 500


def test_a_stream_has_its_own_content_type_from_the_first_step_to_the_last(handler):
    row = {"data": png(200), "stopping": b"anytime", "n": b"300", "tolerance": b"0", "stream": b"true"}
    output, criterion, status, content_type = step(handler, {"x": row})["x"]
    types, lines = {content_type}, [output]
    while criterion is GOES_ON:
        output, criterion, _, content_type = step(handler, {"x": {}})["x"]
        types.add(content_type)
        lines.append(output)
    assert (criterion, status, types) == (STREAM_END, 200, {"application/x-ndjson"})
    told = [line for line in lines if line]
    assert len(told) > 2 and [line["final"] for line in told] == [False] * (len(told) - 1) + [True]


def test_a_stream_that_is_refused_or_done_at_its_first_step_is_a_plain_response(handler):
    # No radius can grow by 10: the first look ends it, whatever the network says.
    easy = {"stopping": b"anytime", "tolerance": b"10", "n": b"20", "n0": b"1", "alpha": b"0.1", "stream": b"true"}
    told = step(handler, {"wrong": {"data": bytearray(b"x"), **easy}, "easy": {"data": png(), **easy}})
    assert told["wrong"][1:] == (PLAIN_END, 415, "application/json")
    assert told["easy"][1:] == (PLAIN_END, 200, "application/x-ndjson") and told["easy"][0]["final"] is True


def test_a_full_server_answers_429_with_a_header_and_a_phrase_of_plain_letters(handler):
    handler.service.limits = handler.service.limits.model_copy(update={"max_open_requests": 1})
    context = Context("m", ".", {}, 8, None, "0.12")
    context.request_ids = {0: "first", 1: "second"}
    context.request_processor = [RequestProcessor(dict(HTTP)) for _ in range(2)]
    handler.handle([{"data": png(), "n": b"10000"}] * 2, context)
    assert context.get_response_status(1) == (429, "Too Many Requests")
    assert 1 <= int(context.get_response_headers(1)["Retry-After"]) <= 60
    assert "Retry-After" not in context.get_response_headers(0)


def test_what_comes_over_grpc_is_refused_before_it_could_go_on_in_parts(handler):
    rows = {"x": {"data": png(), "n": b"10000"}, "y": {}}
    for headers in ({}, {"data": {"content-type": None}}):
        told = step(handler, rows, headers=headers)
        assert {id: (each[0]["code"], *each[1:3]) for id, each in told.items()} == dict.fromkeys(
            rows, (501, PLAIN_END, 501)
        )
    assert handler.service.num_open == 0


@pytest.mark.parametrize("status", [400, 413, 415, 422, 429, 500, 501, 503])
def test_every_status_has_a_phrase_of_ascii_letters(status):
    from http import HTTPStatus

    assert HTTPStatus(status).phrase.isascii()
