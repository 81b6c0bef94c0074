"""Health that tells the truth, while TorchServe's own /ping does not."""

import json
import os
import signal
import subprocess
import sys

import httpx
import pytest

from serving.client import Client
from serving.server import Ports
from serving.server.exposition import total
from serving.server.management import Management
from tests.waiting import wait_for

PROBE = "deploy/probe.py"


def probe(question, url):
    done = subprocess.run([sys.executable, PROBE, question, "--url", url], capture_output=True, text=True, timeout=60)
    return done.returncode, done.stderr.strip()


@pytest.mark.slow
def test_a_server_whose_worker_was_killed_is_alive_but_not_ready_until_another_one_is_loaded(
    served, digit_pngs, zoo_command
):
    server = served.server
    management = ("health", "--management", server.management_url, "--key-file", server.key_file)
    well = zoo_command(*management, served.url, "--json")
    told = json.loads(well.out)
    assert well.code == 0 and told["live"] and told["ready"] and told["answers"]
    assert told["models"][0]["name"] == served.name and told["models"][0]["ready_workers"] == 1
    assert probe("ready", server.operator_url) == probe("live", server.operator_url) == (0, "")
    drawn = total(server.metrics_folder, "zoo_draws_total")
    (worker,) = [each for each in server.processes() if any("service_worker" in word for word in each.cmdline())]
    deaths, logged = metric(server, "zoo_worker_deaths_total"), (server.logs / "events.jsonl").read_text()
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
    assert metric(server, "zoo_worker_deaths_total") == deaths + 1
    events = (server.logs / "events.jsonl").read_text().removeprefix(logged)
    assert f"process {worker.pid} of {served.name} 1.0" in events


def metric(server, name):
    """The value of a metric with one series."""
    (line,) = [line for line in server.metrics().decode().splitlines() if line.startswith(f"{name}{{")]
    return float(line.split()[-1])


@pytest.mark.slow
def test_a_model_without_workers_gets_them_back(served, zoo_command):
    """TorchServe alone would stay alive and answer nothing, for good."""
    server = served.server
    with server.management() as management:
        management.scale(served.name, "1.0", num_workers=0)
    wait_for(lambda: not server.health().is_ready)
    wait_for(lambda: server.health().is_ready)
    assert f"{served.name} 1.0 has no workers; starting 1" in (server.logs / "events.jsonl").read_text()
    assert zoo_command("health", served.url).code == 0


@pytest.mark.slow
def test_the_management_obeys_nobody_without_its_token(served, zoo_command):
    path = f"{served.server.management_url}/models/{served.name}"
    for headers in ({}, {"Authorization": "Bearer x"}):
        refused = httpx.put(path, params={"min_worker": 0, "max_worker": 0}, headers=headers, timeout=60)
        assert refused.status_code == 401
    done = zoo_command("health", "--management", served.server.management_url)
    assert done.code == 1 and "Authorization: Bearer TOKEN" in done.err and "ready" not in done.out
    assert served.server.health().is_ready


@pytest.mark.slow
def test_where_the_operator_named_no_store_no_model_can_be_added(served):
    query = {"url": served.archive.name, "initial_workers": 1}
    headers = {"Authorization": f"Bearer {served.server.token('management')}"}
    response = httpx.post(f"{served.server.management_url}/models", params=query, headers=headers, timeout=60)
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

    from serving.server.health import asked_health

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
            health = asked_health(management)
        page.shutdown()
    assert not health.is_live and "not JSON" in health.reason
