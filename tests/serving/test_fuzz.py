"""No body, however malformed, gets a 5xx, harms the service, or changes a neighbour's answer."""

import json

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from serving.protocol import Limits
from serving.service import InferenceService
from tests.serving import malformed
from tests.serving.test_service import SMALL, Brightness, png

LIMITS = Limits(
    n=60, max_n=200, max_pixels=1000, max_bytes=20_000, max_images=3, max_draws_a_request=1000, allows_seed=True
)
NEIGHBOUR = {"data": bytes(png(140)), "seed": b"7", "n": b"150"}


def exhaustively(num):
    """The same `num` examples at every run; one that fails is not made smaller, which takes long."""
    return settings(
        max_examples=num,
        phases=[Phase.explicit, Phase.generate],
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    )


@pytest.fixture(scope="module")
def service():
    return InferenceService(Brightness(), SMALL, sigma=0.25, model_sha256="ab", limits=LIMITS, batch_size=64)


def answers_beside_a_neighbour(service, row):
    """What `row` is answered in the end, and what its neighbour is, both opened in one step."""
    replies, waiting = {}, {"fuzzed": row, "neighbour": NEIGHBOUR}
    while waiting:
        for id, reply in service.step(waiting).items():
            if reply.is_last:
                replies[id] = reply
                del waiting[id]
    return replies["fuzzed"], replies["neighbour"]


@pytest.fixture(scope="module")
def undisturbed(service):
    """The neighbour's answer in good company."""
    return answers_beside_a_neighbour(service, {"data": bytes(png(0))})[1].text


def check(service, undisturbed, row):
    reply, neighbour = answers_beside_a_neighbour(service, row)
    assert reply.status == 200 or 400 <= reply.status < 500, reply.text
    for line in reply.text.splitlines() if reply.content_type.endswith("ndjson") else [reply.text]:
        json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert len(reply.text) < 100_000 and (reply.status == 200 or reply.body["code"] == reply.status)
    assert all(value.isascii() and value.isprintable() for value in reply.headers.values())
    assert neighbour.text == undisturbed
    assert service.num_open == 0 and service.engine.num_open == 0


@exhaustively(1200)
@given(data=malformed.images)
def test_no_image_harms_the_service(service, undisturbed, data):
    check(service, undisturbed, {"body": bytearray(data)})


@exhaustively(1200)
@given(body=malformed.json_bodies)
def test_no_json_harms_the_service(service, undisturbed, body):
    check(service, undisturbed, {"body": body})


@exhaustively(800)
@given(row=malformed.forms)
def test_no_form_harms_the_service(service, undisturbed, row):
    check(service, undisturbed, row)
