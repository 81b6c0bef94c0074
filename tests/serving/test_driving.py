"""The driver of a service: what it delivers, and when it forgets."""

import queue
import threading
from contextlib import closing

import pytest

from serving.application.models import ReceivedRequest
from serving.driving import Driver, row_of
from serving.protocol import BinaryBody
from serving.service.service import InferenceService
from tests.serving.toy import png, toy_service
from zoo.errors import RequestError


@pytest.fixture
def driver():
    with closing(Driver(toy_service(max_n=10_000_000, max_draws_per_request=100_000_000))) as driver:
        yield driver


def request(**fields):
    return ReceivedRequest(kind="form", fields={"data": png(255), **fields})


def test_the_replies_are_delivered_up_to_the_last_and_the_body_is_not_kept(driver):
    replies, seen = queue.Queue(), []
    step = driver.service.step
    driver.service.step = lambda rows: seen.append(dict(rows)) or step(rows)
    driver.open(1, request(n=b"1000"), replies.put)
    delivered = [replies.get(timeout=60)]
    while not delivered[-1].is_last:
        delivered.append(replies.get(timeout=60))
    assert delivered[-1].body["label"] == 1 and len(delivered) > 1
    assert "data" in seen[0][1] and not any(rows.get(1) for rows in seen[1:])


ANYTIME = {"stopping": b"anytime", "tolerance": b"0", "stream": b"true"}


@pytest.mark.parametrize("fields", [{}, ANYTIME])
def test_only_the_first_reply_and_those_with_news_are_delivered(driver, fields):
    replies, num_steps = queue.Queue(), []
    driver._after_step = num_steps.append
    driver.open(1, request(n=b"1500", **fields), replies.put)
    texts, is_last = [], False
    while not is_last:
        reply = replies.get(timeout=60)
        texts, is_last = [*texts, reply.text], reply.is_last
    assert len(num_steps) > 20, "a batch has 64 draws"
    assert all(texts[1:]) and driver._begun == set()
    assert len(texts) > 2 if fields else len(texts) == 2


def test_a_request_that_is_forgotten_is_not_drawn_for_any_more(driver):
    replies = queue.Queue()
    driver.open(1, request(n=b"10000000"), replies.put)
    replies.get(timeout=60)
    driver.forget(1)
    is_idle = threading.Event()
    driver._after_step = lambda num_open: is_idle.set() if num_open == 0 else None
    assert driver.service.num_open == 0 or is_idle.wait(60)


def test_a_service_that_fails_at_every_step_is_not_stepped_without_end(driver, monkeypatch):
    replies, num_steps = queue.Queue(), []

    def failing(rows):
        num_steps.append(len(rows))
        raise RuntimeError("a defect")

    monkeypatch.setattr(driver.service, "step", failing)
    monkeypatch.setattr(InferenceService, "num_open", 1)
    for id in range(3):
        driver.open(id, request(), replies.put)
        assert replies.get(timeout=60).status == 500
    assert num_steps.count(1) == 3 and len(num_steps) <= 6


@pytest.mark.parametrize(
    ("kind", "body", "row"),
    [
        ("bytes", b"\x89PNG", {"data": b"\x89PNG", "n": "7"}),
        ("bytes", b' {"instances": []}', {"body": {"instances": [], "parameters": {"n": "7"}}}),
        ("json", b'{"parameters": {"n0": 5}}', {"body": {"parameters": {"n0": 5, "n": "7"}}}),
        ("json", b'{"parameters": 5}', {"body": {"parameters": 5}}),
        ("json", b"[1]", {"body": [1]}),
        ("json", b"{", {"body": b"{"}),
    ],
)
def test_the_parameters_of_an_address_reach_the_row(kind, body, row):
    assert row_of(ReceivedRequest(kind=kind, fields={"body": body}, query={"n": "7"})) == row


def test_the_parameters_of_an_address_reach_a_binary_body_and_must_not_be_given_twice():
    received = ReceivedRequest(kind="binary", fields={"body": b'{"a": 1}tensor'}, query={"n": "7"}, header_length="8")
    head, tensors = row_of(received)["body"].split()
    assert (head, tensors) == (b'{"a": 1, "parameters": {"n": "7"}}', b"tensor")
    plain = ReceivedRequest(kind="binary", fields={"body": b"{}"}, header_length="9")
    assert row_of(plain) == {"body": BinaryBody(b"{}", "9")}
    with pytest.raises(RequestError, match="n is in the address and in the body"):
        row_of(ReceivedRequest(kind="form", fields={"n": b"7"}, query={"n": "7"}))
