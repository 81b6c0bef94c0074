"""The real TorchServe: concurrent mixed requests over HTTP get each its own answer, and nothing is left behind."""

import base64
import io
import json
import os
import signal
import socket
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest
from PIL import Image

from serving.client import ask
from serving.protocol import Limits
from serving.server import Ports
from serving.server.archive import make_archive
from serving.torchserve import TorchServe
from tests.processes import ZooProcess
from tests.serving.conftest import on_each_engine
from tests.waiting import wait_for
from training.tasks import open_task
from zoo.errors import RequestError, ServerError
from zoo.results.log import read_log

pytestmark = pytest.mark.slow


def encoded(image):
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()


@pytest.fixture
def url(served):
    """A served digits model."""
    return served.url


@pytest.fixture(scope="session")
def digits(certified_digits, tmp_path_factory):
    """Encoded test digits of which the smoothed classifier is sure, with its answer: `[(png, label)]`."""
    task = open_task("digits", data_dir=tmp_path_factory.mktemp("data"))
    rows = read_log(certified_digits.path / "certification.tsv")
    sure = [(encoded(task.test[row.idx]), row.predict) for row in rows if row.provenance.count_a > 97]
    assert len({label for _, label in sure}) >= 6
    return sure


@on_each_engine
def test_concurrent_mixed_requests_get_each_its_own_correct_answer(url, digits):
    kserve = url.replace("/predictions/", "/v1/models/") + ":predict"
    huge = encoded(Image.new("1", (65, 64)))
    broken = [(b"", 400), (b"nothing", 415), (digits[0][0][:-30], 422), (huge, 413)]

    def request(number):
        kind, (image, label) = number % 5, digits[number % len(digits)]
        if kind == 0:  # predict, by form
            told = ask(url, image, {"mode": "predict", "n": 60})
            return told["label"] == label and told["votes"]["n"] == 60
        if kind == 1:  # certify, raw bytes and the operator's defaults
            told = httpx.put(url, content=image, timeout=60).json()
            return told["label"] == label and told["certificate"]["n"] == 500 and told["certificate"]["radius"] > 0
        if kind == 2:  # certify two images, KServe v1
            other, other_label = digits[(number + 1) % len(digits)]
            instances = [{"b64": base64.b64encode(each).decode()} for each in (image, other)]
            answer = httpx.post(kserve, json={"instances": instances, "parameters": {"n": 200}}, timeout=60)
            return [each["label"] for each in answer.json()["predictions"]] == [label, other_label]
        if kind == 3:
            data, status = broken[number // 5 % len(broken)]
            answer = httpx.put(url, content=data, timeout=60)
            body = answer.json()
            return answer.status_code == status == body["code"] and body["message"].count(" ") >= 3
        answer = httpx.post(url, files={"data": image}, data={"n": "9"}, timeout=60)  # can never certify
        return answer.status_code == 422 and "the least n is 10" in answer.json()["message"]

    with ThreadPoolExecutor(12) as pool:
        assert all(pool.map(request, range(60)))


def test_four_predictions_finish_while_a_long_certification_runs_on_the_same_worker(url, digits):
    image, label = digits[0]
    with (
        ThreadPoolExecutor(5) as pool,
        httpx.stream("POST", url, files={"data": image}, data={"n": "20000"}, timeout=120) as certification,
    ):
        # The head has come, so the certification has made its first step; its answer comes with its last one.
        body = pool.submit(certification.read)
        answers = list(pool.map(lambda each: ask(url, each[0], {"mode": "predict", "n": 100}), digits[1:5]))
        assert not body.done(), "the certification must still be running"
        assert [answer["label"] for answer in answers] == [label for _, label in digits[1:5]]
        told = json.loads(body.result())
    assert told["label"] == label and told["certificate"]["n"] == 20_000


@on_each_engine
def test_every_stopping_rule_and_discrete_noise_are_answered(url, digits):
    image, label = digits[0]
    half = ask(url, image, {"stopping": "at-radius", "radius": 0.5, "noise": "discrete"})
    assert (half["label"], half["certificate"]["radius"], half["certificate"]["radius_asked"]) == (label, 0.5, 0.5)
    assert (half["certificate"]["stopping"], half["certificate"]["noise"]) == ("at-radius", "discrete")
    assert half["certificate"]["n"] < 2000 and half["certificate"]["backend"] == "onnxruntime-cpu-float32"
    anytime = ask(url, image, {"stopping": "anytime", "tolerance": 0.2, "n": 1000})
    assert anytime["label"] == label and anytime["certificate"]["bound"] == "tangent-bets"
    assert anytime["certificate"]["radius"] > 0.5 and anytime["certificate"]["n"] < 1000
    with pytest.raises(RequestError, match="radius 9 can never be certified"):
        ask(url, image, {"stopping": "at-radius", "radius": 9})


@on_each_engine
def test_the_client_says_what_the_server_refused(url):
    with pytest.raises(RequestError, match=r"refused the request \(415\): the data is not an image"):
        ask(url, b"nothing", {})
    with pytest.raises(RequestError, match="unknown parameter 'sigma'"):
        ask(url, b"nothing", {"sigma": 1})
    with pytest.raises(RequestError, match=r"\(404\)"):
        ask(url + "x", b"nothing", {})
    with pytest.raises(RequestError, match="is not a URL"):
        ask("nonsense", b"", {})


def test_a_server_that_is_not_there_is_said_to_be_so():
    with pytest.raises(ServerError, match="no answer from"):
        ask(f"http://127.0.0.1:{Ports.find().inference}/predictions/x", b"", {})


def test_a_port_in_use_is_refused_at_once():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ServerError, match="is in use"):
            TorchServe([], port=taken.getsockname()[1])


def test_a_server_that_is_stopped_while_it_starts_or_lost_its_java_leaves_no_process_behind(digits_checkpoint):
    with tempfile.TemporaryDirectory() as store:
        archive = make_archive(digits_checkpoint, Path(store), limits=Limits(n=500), device="cpu")
        starting = TorchServe([archive])
        starting.__enter__()
        starting.stop()
        assert not starting.processes() and not starting.folder.exists()

        orphaned = TorchServe([archive])
        orphaned.__enter__()
        wait_for(lambda: len(orphaned.processes()) >= 2)
        java = orphaned._processes.java
        java.kill()
        killed = rf"TorchServe's Java process \({java.pid}\) was killed by SIGKILL, for example by the kernel"
        with pytest.raises(ServerError, match=killed):
            orphaned.wait()
        assert not orphaned.health().is_live and "was killed by SIGKILL" in orphaned.health().reason
        assert "was killed by SIGKILL" in (orphaned.logs / "events.jsonl").read_text()
        orphaned.stop()
        assert not orphaned.processes() and not orphaned.folder.exists()


def test_a_signal_while_java_is_started_leaves_no_process_behind(digits_checkpoint, monkeypatch):
    started, popen = [], subprocess.Popen

    def interrupted(*words, **settings):
        started.append(popen(*words, **settings))
        signal.raise_signal(signal.SIGINT)
        return started[0]

    monkeypatch.setattr("serving.torchserve.instance.subprocess.Popen", interrupted)
    with tempfile.TemporaryDirectory() as store:
        archive = make_archive(digits_checkpoint, Path(store), limits=Limits(n=500), device="cpu")
        with pytest.raises(KeyboardInterrupt), TorchServe([archive]):
            pytest.fail("the server must not become ready")
    assert len(started) == 1 and started[0].poll() is not None


def test_models_of_one_name_are_not_served_together(digits_checkpoint, zoo_command):
    done = zoo_command("serve", digits_checkpoint.path, digits_checkpoint.path)
    assert done.code == 2 and "have the same name" in done.err


def test_an_answer_of_something_else_is_not_taken_for_a_models(url):
    with pytest.raises(ServerError, match="a response that is not a model's"):
        ask(url.partition("/predictions")[0] + "/ping", b"", {})


def test_a_temporary_folder_too_deep_for_a_socket_is_refused_at_once(tmp_path, monkeypatch):
    deep = tmp_path / ("x" * 80)
    deep.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(deep))
    with pytest.raises(ServerError, match="set TMPDIR to a shorter path"):
        TorchServe([])
    assert not list(deep.iterdir())


@pytest.fixture
def short_folder():
    """A temporary folder whose path leaves room for a socket's name, which pytest's own does not."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def heed_ctrl_c():
    """What a terminal's child does. One of a shell's background job inherits that SIGINT is ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def is_alive(process):
    """Whether it still runs; one that ended and whose new parent has not yet asked how does not."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT])
def test_zoo_serve_prints_a_ready_line_and_leaves_no_process_behind(
    how, digits_checkpoint, digits, short_folder, zoo_command
):
    image, label = digits[0]
    (short_folder / "digit.png").write_bytes(image)
    process = ZooProcess(
        ["serve", digits_checkpoint.path, "--port", 0, "--device", "cpu"],
        before=heed_ctrl_c,
        environment={**os.environ, "TMPDIR": str(short_folder)},
    )
    try:
        ready = process.first_line()
        assert ready.startswith("ready: curl -F data=@IMAGE")
        descendants = psutil.Process(process.pid).children(recursive=True)
        done = zoo_command("predict", short_folder / "digit.png", "--url", ready.split()[-1])
        assert done.code == 0 and done.out.splitlines()[1].split("\t")[1] == str(label)
    finally:
        process.send_signal(how)
        code = process.wait(timeout=60)
    assert code == 0 and "Traceback" not in process.stderr.whole()
    assert len(descendants) >= 2 and not [each for each in descendants if is_alive(each)]
    assert [path.name for path in short_folder.iterdir()] == ["digit.png"]
