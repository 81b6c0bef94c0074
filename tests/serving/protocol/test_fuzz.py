"""No body, however malformed, gets a 5xx, harms the service, or changes a neighbour's answer."""

import json
import threading
from collections import Counter

import httpx
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from serving.protocol import Limits
from serving.service.service import InferenceService
from tests.serving.protocol import malformed
from tests.serving.service.test_service import SMALL, Brightness, png

LIMITS = Limits(
    n=60, max_n=200, max_pixels=1000, max_bytes=20_000, max_images=3, max_draws_per_request=1000, allows_seed=True
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


@exhaustively(800)
@given(data=malformed.images)
def test_no_image_harms_the_service(service, undisturbed, data):
    check(service, undisturbed, {"body": bytearray(data)})


@exhaustively(800)
@given(body=malformed.json_bodies)
def test_no_json_harms_the_service(service, undisturbed, body):
    check(service, undisturbed, {"body": body})


@exhaustively(500)
@given(row=malformed.forms)
def test_no_form_harms_the_service(service, undisturbed, row):
    check(service, undisturbed, row)


class Neighbour(threading.Thread):
    """A client that asks the same seeded question all the time; `others` is every answer unlike its first one."""

    def __init__(self, url, image):
        super().__init__()
        self.url, self.image = url, image
        self.client = httpx.Client(timeout=120, trust_env=False)
        self.first = self.ask()
        self.num_asked, self.others, self.is_over = 0, [], threading.Event()

    def ask(self):
        form = {"seed": "7", "n": "150"}
        response = self.client.post(self.url, files={"data": self.image}, data=form)
        return response.status_code, response.text

    def run(self):
        while not self.is_over.is_set():
            answer = self.ask()
            self.num_asked += 1
            if answer != self.first:
                self.others.append(answer)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.is_over.set()
        self.join()
        self.client.close()


@pytest.mark.parametrize(("served", "num_requests"), [("torchserve", 260), ("asgi", 80)], indirect=["served"])
@pytest.mark.slow
def test_no_request_gets_a_5xx_from_the_running_server_kills_its_worker_or_changes_a_neighbours_answer(
    served, num_requests, digit_pngs
):
    workers = {each.pid for each in served.server.processes()}
    statuses = Counter()
    with Neighbour(served.url, digit_pngs[0]) as neighbour, httpx.Client(timeout=120, trust_env=False) as client:

        @exhaustively(num_requests)
        @given(request=malformed.requests)
        def ask(request):
            response = client.post(served.url, **request)
            statuses[response.status_code] += 1
            assert response.status_code < 500, response.text
            for line in response.text.splitlines() if "ndjson" in response.headers["Content-Type"] else [response.text]:
                body = json.loads(line)
            assert response.status_code == 200 or body["code"] == response.status_code

        ask()
    assert neighbour.first[0] == 200 and neighbour.num_asked >= 5 and not neighbour.others
    assert {each.pid for each in served.server.processes()} == workers
    assert (
        sum(count for status, count in statuses.items() if status >= 400) >= 0.75 * num_requests and len(statuses) >= 4
    )


@pytest.mark.slow
def test_the_forms_that_torchserve_itself_cannot_read_harm_nobody(served, digit_pngs):
    """It answers them with a 500 of its own before any line of ours runs: a proxy in front may refuse them."""
    nameless = b"--edge\r\nContent-Disposition: form-data\r\n\r\nx\r\n--edge--\r\n"
    unreadable = [
        {"content": b"a=%zz", "headers": {"Content-Type": "application/x-www-form-urlencoded"}},
        {"content": nameless, "headers": {"Content-Type": malformed.FORM}},
    ]
    workers = {each.pid for each in served.server.processes()}
    with Neighbour(served.url, digit_pngs[0]) as neighbour:
        for request in unreadable:
            response = httpx.post(served.url, **request, timeout=120)
            assert (response.status_code, response.json()["type"]) == (500, "ErrorDataDecoderException")
    assert {each.pid for each in served.server.processes()} == workers and not neighbour.others
