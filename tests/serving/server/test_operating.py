"""`zoo serve` in an operator's hands: tokens, versions switched under load, signals, logs."""

import json
import os
import re
import signal
import socket
import stat
import struct
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil
import pytest
import torch

from serving.client import Client
from tests.processes import ZooProcess
from tests.waiting import wait_for

pytestmark = pytest.mark.slow
SECRET = "what-a-client-sent"


@contextmanager
def zoo_serve(*words):
    """A `zoo serve` of its own process: it, and its ready line's URL."""
    with tempfile.TemporaryDirectory() as folder:
        words = ["serve", *words, "--port", 0, "--device", "cpu"]
        process = ZooProcess(words, environment={**os.environ, "TMPDIR": folder})
        try:
            ready = process.first_line()
            assert ready.startswith("ready: "), process.stderr.so_far
            yield process, ready.split()[-1]
        finally:
            for _ in range(2):  # at once
                process.send_signal(signal.SIGTERM)
                time.sleep(0.2)
            process.wait(timeout=90)


def found(pattern, text):
    return re.search(pattern, text)[1]


class Asking:
    """Clients that ask one image after another until they are stopped, and what became of every request."""

    def __init__(self, url, image, *, token, num=3):
        self.url, self.image, self.token = url, image, token
        self.outcomes, self.is_stopped = [], threading.Event()
        self.threads = [threading.Thread(target=self._ask) for _ in range(num)]

    def _ask(self):
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        with httpx.Client(headers=headers, timeout=120, trust_env=False) as client:
            while not self.is_stopped.is_set():
                try:
                    response = client.post(self.url, files={"data": self.image}, data={"n": "100"})
                    version = response.json().get("model", {}).get("name")
                    self.outcomes.append((response.status_code, version))
                    if response.status_code == 503:
                        assert int(response.headers["Retry-After"]) >= 1
                        return
                except httpx.ConnectError:
                    self.outcomes.append(("refused", None))
                    return
                except httpx.TransportError as error:
                    self.outcomes.append((repr(error), None))
                    return

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.is_stopped.set()
        for thread in self.threads:
            thread.join(timeout=120)


@pytest.mark.parametrize(("engine", "status"), [("torchserve", 400), ("asgi", 401)])
def test_versions_are_added_switched_rolled_back_and_removed_while_requests_run_and_none_is_lost(
    engine, status, digits_checkpoint, digit_pngs, tmp_path, zoo_command
):
    """Beyond loopback, thus with tokens; then SIGTERM under load."""
    store, logs = tmp_path / "store", tmp_path / "logs"
    on = ("--store", store)
    name = digits_checkpoint.spec.name
    words = (digits_checkpoint.path, "--engine", engine, "--host", "0.0.0.0", *on, "--logs", logs)
    with zoo_serve(*words) as (process, url):
        key_file = Path(found(r"tokens: (\S+);", process.stderr.so_far))
        management, operator = (
            found(r"management: (\S+)", process.stderr.so_far),
            found(r"metrics: (\S+);", process.stderr.so_far),
        )
        assert stat.S_IMODE(key_file.stat().st_mode) == 0o600 and "without TLS" in process.stderr.so_far
        token = json.loads(key_file.read_text())["inference"]["key"]
        refused = httpx.post(url, files={"data": digit_pngs[0]}, timeout=60)
        assert refused.status_code == status and refused.json()["type"] == "InvalidKeyException"
        assert (engine == "asgi") == ("WWW-Authenticate" in refused.headers)
        assert httpx.get(f"{management}/models", timeout=60).status_code == 401, "the management wants a token, too"
        assert zoo_command("health", url, "--management", management, "--key-file", key_file).code == 0

        with Asking(url, digit_pngs[0], token=token) as asking:
            added = zoo_command("models", "add", digits_checkpoint.path, *on, "--device", "cpu", "--limit", "n0=50")
            assert (added.code, added.out.strip()) == (0, f"{name}\t2.0"), added.err
            assert answering(url, digit_pngs[0], token) == 100  # draws of the first phase: version 1.0
            assert zoo_command("models", "switch", name, "2.0", *on).code == 0
            assert answering(url, digit_pngs[0], token) == 50
            assert zoo_command("models", "switch", name, "1.0", *on).code == 0, "a roll-back"
            assert answering(url, digit_pngs[0], token) == 100
            taken = zoo_command("models", "add", digits_checkpoint.path, *on, "--version", "1.0")
            assert taken.code == 2 and "1.0 is already served" in taken.err
            in_use = zoo_command("models", "remove", name, "1.0", *on)
            assert in_use.code == 2 and "is the default version" in in_use.err
            listed = json.loads(zoo_command("models", "list", *on, "--json").out)
            assert [(each["version"], each["is_default"]) for each in listed] == [("1.0", True), ("2.0", False)]
            with streaming(f"{url}/2.0", digit_pngs[1], token) as lines:  # a request that removal has to wait for
                removed = zoo_command("models", "remove", name, "2.0", *on)
            assert removed.code == 0 and json.loads(lines[-1])["final"] is True
            if not torch.cuda.is_available():
                failed = zoo_command("models", "add", digits_checkpoint.path, *on, "--device", "cuda")
                assert (
                    failed.code == 1 and "2.0 cannot be loaded" in failed.err and "this machine has none" in failed.err
                )
                assert not (store / f"{name}-2.0.mar").exists()
            unknown = zoo_command("models", "switch", name, "2.0", *on)
            assert unknown.code == 2 and f"known: {name} 1.0" in unknown.err
        assert len(asking.outcomes) > 10 and {status for status, _ in asking.outcomes} == {200}

        for path, data in ((f"{url}{SECRET}", digit_pngs[0]), (url, SECRET.encode()), (f"{url}/{SECRET}", b"")):
            httpx.post(path, content=data, headers={"X-Secret": SECRET, "Authorization": f"Bearer {token}"}, timeout=60)
        reset(url)
        with Asking(url, digit_pngs[0], token=token) as asking:
            with streaming(url, digit_pngs[1], token) as lines:
                wait_for(lambda: len(asking.outcomes) > 5)
                process.send_signal(signal.SIGTERM)
                wait_for(lambda: httpx.get(f"{operator}/ready", timeout=60).status_code == 503)
                late = httpx.post(url, headers={"Authorization": f"Bearer {token}"}, content=digit_pngs[0], timeout=60)
                assert late.status_code == 503 and late.json()["type"] == "ClosingError"
            assert json.loads(lines[-1])["final"] is True, "what was open is answered to its end"
            assert process.wait(timeout=90) == 0
        assert {status for status, _ in asking.outcomes} <= {200, 503, "refused"}
    assert not (store / "server.json").exists()
    gone = zoo_command("models", "list", *on)
    assert gone.code == 2 and "no server runs with the store" in gone.err
    texts = {file.name: file.read_text() for file in logs.iterdir()}
    assert set(texts) >= {"server.log", "model.log", "events.jsonl"}
    assert not [name for name, text in texts.items() if SECRET in text]
    events = [json.loads(line) for line in texts["events.jsonl"].splitlines()]
    assert all({"time", "level", "message"} <= event.keys() for event in events)
    assert not [event for event in events if not event["message"]], "a reset connection is no event"


def reset(url):
    """Sends the head of a request and resets the connection."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout=60) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close() resets
        client.sendall(f"POST {parts.path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n".encode())


def answering(url, image, token):
    """The first phase's draws, by which the versions differ."""
    with Client(url, token=token) as client:
        return client.certify(image, n=100).certificate.n0


@contextmanager
def streaming(url, image, token):
    """A certification of some seconds in the background; the lines that have come, all of them after the block."""
    lines, has_begun = [], threading.Event()

    def read():
        form = {"stopping": "anytime", "tolerance": "0", "n": "3000", "stream": "true"}
        headers = {"Authorization": f"Bearer {token}"}
        with httpx.stream("POST", url, files={"data": image}, data=form, headers=headers, timeout=120) as response:
            for line in response.iter_lines():
                if line:
                    lines.append(line)
                    has_begun.set()

    thread = threading.Thread(target=read)
    thread.start()
    assert has_begun.wait(timeout=120)
    yield lines
    thread.join(timeout=120)


def is_alive(process):
    """Whether it runs; a zombie, which its parent has not collected yet, does not."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize("engine", ["torchserve", "asgi"])
def test_a_second_signal_ends_the_server_at_once_and_further_ones_do_not_cut_that_short(
    engine, digits_checkpoint, digit_pngs
):
    form = {"n": "100000", "stopping": "anytime", "tolerance": "0", "stream": "true"}
    with zoo_serve(digits_checkpoint.path, "--engine", engine, "--drain-seconds", 600) as (process, url):
        with httpx.stream("POST", url, files={"data": digit_pngs[0]}, data=form, timeout=120) as response:
            assert response.status_code == 200
            process.send_signal(signal.SIGTERM)
            wait_for(lambda: "stopping: open requests have 600 s" in process.stderr.so_far)
            assert process.poll() is None
            descendants = psutil.Process(process.pid).children(recursive=True)
            process.send_signal(signal.SIGTERM)
            wait_for(lambda: "some requests were still open and are cut off" in process.stderr.so_far)
            while process.poll() is None and any(map(is_alive, descendants)):  # while it is stopping
                for number in (signal.SIGHUP, signal.SIGQUIT, signal.SIGINT, signal.SIGTERM):
                    process.send_signal(number)
                time.sleep(0.05)
            assert process.wait(timeout=90) == 1
            assert not any(map(is_alive, descendants))
            with pytest.raises(httpx.TransportError):
                response.read()
        assert len(descendants) >= 2 and "Traceback" not in process.stderr.whole()
