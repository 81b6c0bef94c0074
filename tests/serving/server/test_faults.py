"""What goes wrong around a server: the real one is killed, flooded, starved and filled up, and stays honest."""

import base64
import json
import os
import signal
import socket
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from serving.client import Client
from serving.protocol import Limits
from serving.server import ServerOptions
from serving.torchserve import TorchServe
from tests.serving.conftest import LIMITS, on_all_engines, on_each_engine
from tests.waiting import PATIENCE, wait_for
from zoo.errors import RefusedError, ServerError, StreamInterruptedError

pytestmark = pytest.mark.slow
LOGS = ("model.log", "server.log")
ENDLESS = {"stopping": "anytime", "tolerance": 0, "n": LIMITS.max_n}


def metric(server, name):
    """The sum of a metric over all its labels."""
    families = text_string_to_metric_families(server.metrics().decode())
    return sum(sample.value for family in families for sample in family.samples if sample.name == name)


@on_each_engine
def test_a_worker_killed_in_a_stream_is_told_of_by_a_typed_error_and_asking_again_succeeds(served, digit_pngs):
    (before,) = served.workers
    with Client(served.url) as client:
        with pytest.raises(StreamInterruptedError, match=r"radius .* is certified; retry the request"):
            for update in client.certify_stream(digit_pngs[0], **ENDLESS):
                if update.radius > 0:
                    os.kill(before, signal.SIGKILL)
        assert client.certify(digit_pngs[0], n=200).certificate.n == 200
    (after,) = served.workers
    assert after != before


@on_each_engine
def test_a_request_above_our_limit_is_refused_in_words(served):
    too_large = bytes(LIMITS.max_bytes + 1)
    with Client(served.url) as client, pytest.raises(RefusedError, match="this server accepts at most 100,000") as told:
        client.certify(too_large)
    assert told.value.http_status == 413
    instances = [{"b64": base64.b64encode(too_large).decode()}]
    for body in ({"content": too_large}, {"json": {"instances": instances}}):
        response = httpx.post(served.url, **body, timeout=PATIENCE)
        assert (
            response.status_code == response.json()["code"] == 413 and "accepts at most" in response.json()["message"]
        )


def test_the_servers_own_limit_lies_above_ours_also_for_base64():
    assert ServerOptions().max_request_bytes > Limits().max_bytes * 4 / 3 + 1_000_000


@on_each_engine
def test_a_client_that_sends_slowly_keeps_nobody_waiting_and_is_answered(served, digit_pngs):
    image = digit_pngs[0]
    parts = urlsplit(served.url)
    with closing(HTTPConnection(parts.netloc, timeout=PATIENCE)) as slow:
        slow.putrequest("POST", parts.path)
        slow.putheader("Content-Type", "application/octet-stream")
        slow.putheader("Content-Length", str(len(image)))
        slow.endheaders()
        slow.send(image[:50])
        with Client(served.url) as others:
            assert [others.predict(each, n=60).votes.n for each in digit_pngs[1:4]] == [60, 60, 60]
        slow.send(image[50:])
        response = slow.getresponse()
        assert response.status == 200 and json.load(response)["certificate"]["n"] == LIMITS.n


@on_each_engine
def test_requests_whose_images_take_long_to_decode_get_their_own_statuses_in_the_end(served, digit_pngs):
    """TorchServe keeps rows that its worker leaves out of its message, and passes them again."""
    decoders = [each for each in served.server.processes() if "zoo.models.decoding_process" in each.cmdline()]
    assert len(decoders) == 2
    forms = [{"data": digit_pngs[0]}, {"data": digit_pngs[0][:-30]}, {"data": b"nothing"}]
    with ThreadPoolExecutor() as clients:
        for each in decoders:
            each.suspend()
        try:
            responses = [clients.submit(httpx.post, served.url, files=form, timeout=PATIENCE) for form in forms]
            wait_for(lambda: metric(served.server, "zoo_open_requests") == 3, "three requests that wait")
            assert served.server.health().is_ready and not any(response.done() for response in responses)
        finally:
            for each in decoders:
                each.resume()
        assert [response.result().status_code for response in responses] == [200, 422, 415]
    assert responses[0].result().json()["certificate"]["n"] == LIMITS.n


@on_each_engine
def test_a_client_that_does_not_read_keeps_nobody_waiting(served, digit_pngs):
    """It asks for a stream of many lines and takes none of them."""
    body = json.dumps(
        {
            "instances": [{"b64": base64.b64encode(digit_pngs[0]).decode()}],
            "parameters": {**ENDLESS, "stream": True},
        }
    ).encode()
    parts = urlsplit(served.url)
    with closing(HTTPConnection(parts.netloc, timeout=PATIENCE)) as lazy:
        lazy.connect()
        lazy.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        lazy.request("POST", parts.path, body, {"Content-Type": "application/json"})
        wait_for(lambda: metric(served.server, "zoo_open_requests") == 1, "an open request")
        with Client(served.url) as others:
            assert [others.predict(each, n=60).votes.n for each in digit_pngs[1:4]] == [60, 60, 60]
    wait_for(lambda: is_idle(served.server), "the end of its draws")


def is_idle(server):
    """Whether no draw is made for a quarter of a second."""
    before = metric(server, "zoo_draws_total")
    time.sleep(0.25)
    return metric(server, "zoo_draws_total") == before


@on_all_engines
def test_the_draws_for_a_client_that_went_away_stop(served, digit_pngs):
    forgotten = metric(served.server, "zoo_requests_forgotten_total")
    drawn = metric(served.server, "zoo_draws_total")
    form = {"files": {"data": digit_pngs[0]}, "data": {**ENDLESS, "stream": "true"}}
    with httpx.stream("POST", served.url, **form, timeout=PATIENCE) as gone:
        assert gone.status_code == 200  # the head comes with the first steps
    with Client(served.url) as others:  # a worker whose only client went away is not called again until one comes
        others.predict(digit_pngs[1], n=60)
    wait_for(lambda: metric(served.server, "zoo_requests_forgotten_total") > forgotten, "a forgotten request")
    assert is_idle(served.server)
    assert 0 < metric(served.server, "zoo_draws_total") - drawn < 40_000


@on_each_engine
def test_a_full_server_says_429_and_when_to_come_back_and_has_room_again_later(served, digit_pngs):
    ask = {"files": {"data": digit_pngs[0]}, "data": {**ENDLESS, "stream": "true"}, "timeout": PATIENCE}
    refused = metric(served.server, "zoo_requests_refused_total")
    with ExitStack() as stack:
        for _ in range(LIMITS.max_open_requests):
            assert stack.enter_context(httpx.stream("POST", served.url, **ask)).status_code == 200
        response = httpx.post(served.url, files={"data": digit_pngs[0]}, timeout=PATIENCE)
        assert response.status_code == response.json()["code"] == 429
        assert 1 <= int(response.headers["Retry-After"]) <= 60
        assert f"{LIMITS.max_open_requests} open requests" in response.json()["message"]
    assert metric(served.server, "zoo_requests_refused_total") == refused + 1
    with Client(served.url) as client:  # which waits as long as it is told to
        assert client.predict(digit_pngs[0], n=60).votes.n == 60


def with_damaged_weights(archive, folder):
    """A copy of an archive whose weights have one bit changed; its checksums are right."""
    damaged = folder / archive.name
    with zipfile.ZipFile(archive) as before, zipfile.ZipFile(damaged, "w") as after:
        for item in before.infolist():
            data = bytearray(before.read(item))
            if item.filename.endswith(".safetensors"):
                data[-1] ^= 1
            after.writestr(item, bytes(data))
    return damaged


def test_damaged_weights_end_the_start_with_the_reason_instead_of_a_loop(served_archive, tmp_path):
    damaged = with_damaged_weights(served_archive, tmp_path)
    server = TorchServe([damaged])
    with pytest.raises(ServerError, match=r"a model cannot be loaded: .*model\.safetensors"), server:
        pytest.fail("it must not become ready")
    assert not server.processes() and not server.folder.exists()


def test_zoo_serve_refuses_a_damaged_model_directory_and_a_port_in_use(copy_of_digits, zoo_command):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = zoo_command("serve", copy_of_digits, "--port", taken.getsockname()[1], "--device", "cpu")
    assert done.code == 1 and "is in use" in done.err and "--port" in done.err
    weights = copy_of_digits / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x00")
    done = zoo_command("serve", copy_of_digits, "--port", 0, "--device", "cpu")
    assert done.code == 1 and "model.safetensors" in done.err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no device that is always full")
def test_a_server_whose_logs_find_no_room_on_the_disk_goes_on_answering(served_archive, digit_pngs, tmp_path):
    """Every log file is the device on which each write fails for lack of room."""
    for name in (*LOGS, "events.jsonl"):
        (tmp_path / name).symlink_to("/dev/full")
    with TorchServe([served_archive], options=ServerOptions(logs=tmp_path)) as server:
        url = server.prediction_url(served_archive)
        assert httpx.post(url, content=b"nothing", timeout=PATIENCE).status_code == 415
        with Client(url) as client:
            assert client.predict(digit_pngs[0], n=60).votes.n == 60
        assert server.health().is_ready


def test_each_log_is_written_to_when_a_server_starts(served):
    """Without which the test above would show nothing."""
    assert {name for name in LOGS if (served.server.logs / name).stat().st_size} == set(LOGS)
