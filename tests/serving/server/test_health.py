"""Health that tells the truth, while TorchServe's own /ping does not."""

import json
import os
import signal
import subprocess
import sys
import time

import httpx
import pytest

from serving.client import Client
from serving.server import Ports
from serving.server.exposition import total
from serving.server.management import Management

PROBE = "deploy/probe.py"


def probe(question, url):
    done = subprocess.run([sys.executable, PROBE, question, "--url", url], capture_output=True, text=True, timeout=60)
    return done.returncode, done.stderr.strip()


@pytest.mark.slow
def test_a_server_whose_worker_was_killed_is_alive_but_not_ready_until_another_one_is_loaded(
    served, digit_pngs, zoo_command
):
    server = served.server
    management = ("health", "--management", server.management_url)
    well = zoo_command(*management, served.url, "--json")
    told = json.loads(well.out)
    assert well.code == 0 and told["live"] and told["ready"] and told["answers"]
    assert told["models"][0]["name"] == served.name and told["models"][0]["ready_workers"] == 1
    assert probe("ready", server.operator_url) == probe("live", server.operator_url) == (0, "")
    drawn = total(server.metrics_folder, "zoo_draws_total")
    (worker,) = [each for each in server.processes() if any("service_worker" in word for word in each.cmdline())]
    os.kill(worker.pid, signal.SIGKILL)
    wait_for(lambda: not server.health().is_ready)
    assert httpx.get(f"{server.url}/ping", timeout=60).json()["status"] == "Healthy", (
        "what /ping is not to be asked for"
    )
    ill = zoo_command(*management)
    code, reason = probe("ready", server.operator_url)
    if not server.health().is_ready:  # else it has come back in the meantime
        assert ill.code == 1 and f"no worker is ready for {served.name} 1.0" in ill.err and "live\tyes" in ill.out
        assert code == 1 and "no worker is ready" in reason
    assert probe("live", server.operator_url)[0] == 0
    wait_for(lambda: server.health().is_ready)
    with Client(served.url) as client:
        assert client.predict(digit_pngs[0], n=60).votes.n == 60
    assert total(server.metrics_folder, "zoo_draws_total") == drawn + 60, "counters go on"


def wait_for(condition, seconds=120):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came to be"
        time.sleep(0.02)


@pytest.mark.slow
def test_where_the_operator_named_no_store_no_model_can_be_added(served):
    query = {"url": served.archive.name, "initial_workers": 1}
    response = httpx.post(f"{served.server.management_url}/models", params=query, timeout=60)
    assert response.status_code == 405


@pytest.mark.slow
def test_a_model_that_is_not_served_does_not_answer(served, zoo_command):
    done = zoo_command("health", served.url + "x")
    assert done.code == 1 and "answers\tno" in done.out and "404" in done.err


def test_where_nobody_listens_nothing_is_alive(zoo_command):
    url = f"http://127.0.0.1:{Ports.find().management}"
    done = zoo_command("health", "--management", url, "--json")
    told = json.loads(done.out)
    assert done.code == 1 and (told["live"], told["ready"], told["models"]) == (False, False, [])
    assert "no answer from" in told["reason"]
    assert probe("live", url)[0] == 1
    assert zoo_command("health", f"{url}/predictions/x").code == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [((), "needs the URL of a model"), (("--management", "nonsense"), "is not a URL"), (("nonsense",), "nonsense")],
)
def test_a_wrong_question_is_refused_in_one_sentence(words, said, zoo_command):
    done = zoo_command("health", *words)
    assert done.code in (1, 2) and said in done.err + done.out


def test_a_server_that_answers_something_else_is_not_taken_for_a_healthy_one(tmp_path):
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
    from threading import Thread

    from serving.server.health import health_of

    class Page(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>")

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as page:
        Thread(target=page.serve_forever, daemon=True).start()
        with Management(f"http://127.0.0.1:{page.server_address[1]}") as management:
            health = health_of(management)
        page.shutdown()
    assert not health.is_live and "not JSON" in health.reason
