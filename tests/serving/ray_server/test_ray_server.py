"""Two replicas in a Ray cluster: one is killed under load, a new version replaces the old, and all answer alike."""

import json
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from serving.server.archive import make_archive
from serving.server.exposition import total
from serving.server.model_store import adopt
from tests.serving.conftest import LIMITS, on_ray
from tests.waiting import PATIENCE, wait_for

pytestmark = pytest.mark.slow
STREAM = {"stopping": "anytime", "tolerance": "0", "n": "1500", "stream": "true"}


class Clients:
    """Clients without retries that ask until the end of the block; `last_lines` are those of streams."""

    def __init__(self, url, image, *, num_asking, num_streaming=0, **fields):
        self.url, self.image, self.fields = url, image, fields
        self.statuses, self.last_lines, self._is_over = [], [], threading.Event()
        asking, streaming = [self._ask] * num_asking, [self._stream] * num_streaming
        self._threads = [threading.Thread(target=self._until_over, args=(once,)) for once in asking + streaming]

    def _until_over(self, once):
        with httpx.Client(timeout=PATIENCE, trust_env=False) as client:
            while not self._is_over.is_set():
                once(client)

    def _ask(self, client):
        response = client.post(self.url, files={"data": self.image}, data=self.fields)
        self.statuses.append(response.status_code)

    def _stream(self, client):
        form = {"files": {"data": self.image}, "data": STREAM}
        with client.stream("POST", self.url, **form) as response:
            lines = [line for line in response.iter_lines() if line]
        self.last_lines.append(json.loads(lines[-1]))

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._is_over.set()
        for thread in self._threads:
            thread.join(PATIENCE)


@on_ray
def test_a_question_is_answered_alike_by_all_replicas_and_counted_once(served, digit_pngs):
    """Requests that are open at the same time are on both replicas."""

    def ask(n):
        return httpx.post(served.url, files={"data": digit_pngs[5]}, data={"n": n}, timeout=120).json()

    with ThreadPoolExecutor(6) as threads:
        answers = list(threads.map(ask, [410] * 6))
    assert answers[0]["repeatable"] and all(answer == answers[0] for answer in answers)
    index = answers[0]["certificate"]["family"]["index"]
    with ThreadPoolExecutor(4) as threads:
        others = [answer["certificate"]["family"]["index"] for answer in threads.map(ask, range(411, 415))]
    assert sorted(others) == [index + 1, index + 2, index + 3, index + 4], "whichever replica was asked"


@on_ray
def test_a_replica_that_is_killed_costs_no_answer_and_a_stream_ends_with_an_error_line_at_worst(served, digit_pngs):
    server, before = served.server, served.workers
    assert len(before) == 2
    with Clients(served.url, digit_pngs[0], num_asking=8, num_streaming=4, n="100", seed="1") as clients:
        wait_for(lambda: len(clients.statuses) > 8)
        drawn = total(server.metrics_folder, "zoo_draws_total", model=served.name)
        victim = min(before)
        os.kill(victim, signal.SIGKILL)
        num_answered = len(clients.statuses)
        wait_for(
            lambda: len(clients.statuses) > num_answered + 16 and len(clients.last_lines) > 4,
            "answers after the death of a replica",
            seen=lambda: (len(clients.statuses) - num_answered, clients.last_lines, served.workers),
        )
    assert set(clients.statuses) == {200}
    errors = [line for line in clients.last_lines if not line.get("final")]
    assert len(errors) <= 4 and {line["type"] for line in errors} <= {"WorkerLostError"}
    wait_for(lambda: len(served.workers) == 2 and server.management().versions()[0].num_ready == 2)
    assert victim not in served.workers
    assert total(server.metrics_folder, "zoo_draws_total", model=served.name) > drawn
    wait_for(lambda: f'zoo_worker_deaths_total{{model="{served.name}",version="1.0"}} 1.0' in server.metrics().decode())
    assert total(server.metrics_folder, "zoo_open_requests") == 0


@on_ray
def test_a_new_version_replaces_the_old_under_load_without_a_failure(served, digit_pngs, digits_checkpoint, tmp_path):
    server = served.server
    path = make_archive(digits_checkpoint, tmp_path, limits=LIMITS, device="cpu", version="2.0")
    adopt(path, server.model_store, weights_sha256=None)
    with server.management() as management:
        with Clients(served.url, digit_pngs[0], num_asking=2, mode="predict", n="20") as clients:
            management.register(path.name, name=served.name)
            for version in ("2.0", "1.0"):  # there and back
                management.switch(served.name, version)
                num_answered = len(clients.statuses)
                wait_for(lambda: len(clients.statuses) > num_answered + 8)  # noqa: B023
            versions = {each.version: each.num_ready for each in management.versions()}
            management.unregister(served.name, "2.0")
        assert versions == {"1.0": 2, "2.0": 2} and set(clients.statuses) == {200}
        assert [each.version for each in management.versions()] == ["1.0"]
