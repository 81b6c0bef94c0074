"""The plain server with its processes: a front process without torch, workers that die, and starts that fail."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager

import httpx
import psutil
import pytest

from tests.waiting import wait_for

pytestmark = pytest.mark.slow
MOST_MEMORY = 150_000_000
ALICE, BOB = "alices-secret-token", "bobs-secret-token--"


@contextmanager
def zoo_serve(*words):
    """A started `zoo serve` and its ready line's URL. It is no fork: its own imports and its memory are measured."""
    command = [sys.executable, "-m", "zoo", "serve", *map(str, words), "--port", "0", "--device", "cpu"]
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
        try:
            ready = process.stdout.readline()
            errors.seek(0)
            assert ready.startswith("ready: "), errors.read()
            yield process, ready.split()[-1]
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=90)


def test_the_front_process_is_small_and_clients_come_and_go_with_the_lines_of_a_file(
    digits_checkpoint, digit_pngs, tmp_path
):
    tokens, logs = tmp_path / "tokens", tmp_path / "logs"
    tokens.write_text(f"alice {ALICE}\nbob {BOB}\n")
    words = (digits_checkpoint.path, "--engine", "asgi", "--tokens", tokens, "--logs", logs, "--ui")
    with zoo_serve(*words) as (process, url):

        def status(token):
            headers = {"Authorization": f"Bearer {token}"}
            return httpx.post(
                f"{url}?mode=predict&n=60", content=digit_pngs[0], headers=headers, timeout=60
            ).status_code

        assert (status(ALICE), status(BOB), status("wrong")) == (200, 200, 401)
        tokens.write_text(f"bob {BOB}\n")
        assert (status(ALICE), status(BOB)) == (401, 200)
        page = process.stdout.readline().split()[-1]
        name = url.rpartition("/")[2]
        asked = httpx.post(f"{page}/predictions/{name}", files={"data": digit_pngs[0]}, data={"n": "60"}, timeout=60)
        assert asked.status_code == 200, "the page has a token of its own"
        origin = url.partition("/predictions/")[0]
        assert httpx.get(f"{origin}/v2/health/ready", timeout=60).status_code == 200
        assert httpx.get(f"{origin}/v2/models/{name}", headers={"Host": "evil.example"}, timeout=60).status_code == 403
        front = psutil.Process(process.pid)
        assert front.memory_info().rss < MOST_MEMORY
        assert not [each.path for each in front.memory_maps() if "torch" in each.path]
    lines = [json.loads(line) for line in (logs / "access.jsonl").read_text().splitlines()]
    clients = [(line["client"], line["status"]) for line in lines]
    assert clients[:5] == [("alice", 200), ("bob", 200), ("", 401), ("", 401), ("bob", 200)]
    assert {"time", "client", "status", "seconds", "bytes"} == lines[0].keys()
    text = "".join(path.read_text() for path in logs.iterdir())
    assert ALICE not in text and BOB not in text


def test_a_worker_that_is_killed_costs_its_open_requests_a_503_and_is_replaced(served_by_asgi, digit_pngs):
    served, responses = served_by_asgi, []
    (worker,) = served.workers
    logged = (served.server.logs / "events.jsonl").read_text()

    def ask():
        form = {"files": {"data": digit_pngs[0]}, "data": {"n": "50000"}}
        responses.append(httpx.post(served.url, **form, timeout=60))

    asking = threading.Thread(target=ask)
    asking.start()
    wait_for(lambda: b'zoo_open_requests{model="' in served.server.metrics())
    wait_for(lambda: [line for line in served.server.metrics().decode().splitlines() if is_open(line)])
    os.kill(worker, signal.SIGKILL)
    asking.join(60)
    while True:
        responses.append(httpx.post(served.url, content=digit_pngs[0], timeout=60))
        if responses[-1].status_code == 200:
            break
        time.sleep(0.1)  # a worker starts in seconds, in which this process could ask hundreds of times
    assert {response.status_code for response in responses[:-1]} == {503}
    assert responses[0].json()["type"] == "WorkerLostError" and int(responses[0].headers["Retry-After"]) >= 1
    assert worker not in served.workers and len(served.workers) == 1
    with served.server.management() as connection:
        wait_for(lambda: connection.versions()[0].is_ready)
    wait_for(lambda: "was killed by SIGKILL" in (served.server.logs / "events.jsonl").read_text()[len(logged) :])


def is_open(line):
    return line.startswith("zoo_open_requests") and float(line.split()[-1]) > 0


def test_health_metrics_and_management_are_those_of_every_engine(served_by_asgi, zoo_command):
    server = served_by_asgi.server
    wait_for(lambda: server.health().is_ready)
    management = ("health", "--management", server.management_url, "--key-file", server.key_file)
    done = zoo_command(*management, served_by_asgi.url, "--json")
    report = json.loads(done.out)
    assert done.code == 0 and report["live"] and report["ready"] and report["answers"]
    metrics = httpx.get(f"{server.operator_url}/metrics", timeout=60).text
    assert f'zoo_draws_total{{model="{served_by_asgi.name}",version="1.0"}}' in metrics
    with server.management() as connection:
        before = served_by_asgi.workers
        connection.scale(served_by_asgi.name, "1.0", num_workers=0)
        assert not served_by_asgi.workers & before
        wait_for(lambda: connection.versions()[0].is_ready)  # the supervisor has started another one, or does so now
    refused = httpx.post(
        f"{server.management_url}/models",
        params={"url": served_by_asgi.archive.name},
        headers={"Authorization": f"Bearer {server.token('management')}"},
        timeout=60,
    )
    assert refused.status_code == 405


def test_a_start_that_fails_says_why_in_one_sentence_and_leaves_nothing(copy_of_digits, tmp_path, zoo_command):
    weights = copy_of_digits / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x00")
    tokens = tmp_path / "tokens"
    tokens.write_text("alice")
    before = set(psutil.Process().children(recursive=True))
    for words, code, said in (
        ((), 1, "model.safetensors"),
        (("--tokens", tokens), 1, "is not NAME TOKEN"),
        (("--tokens", tokens, "--no-token"), 2, "contradicts --tokens"),
        (("--engine", "torchserve", "--tokens", tokens), 2, "--tokens needs --engine asgi or ray"),
    ):
        done = zoo_command("serve", copy_of_digits, "--engine", "asgi", "--port", 0, "--device", "cpu", *words)
        assert (done.code, said in done.err) == (code, True), done.err
        assert len([line for line in done.err.splitlines() if line.startswith("zoo: ")]) == 1
    assert set(psutil.Process().children(recursive=True)) == before
