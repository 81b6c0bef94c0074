"""The addresses on loopback: only for this machine's names, and the management only with its token."""

import http.client
import json
import socket
import struct
import threading
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingUnixStreamServer

import httpx
import pytest

from serving.server.endpoint import operator_endpoint
from serving.server.health import Health
from serving.server.keys import read_key, write_keys
from serving.server.loopback_server import LoopbackServer
from serving.server.ports import Ports
from serving.torchserve.configuration import management_socket
from serving.torchserve.management_relay import management_relay
from zoo.errors import ServerError


@pytest.fixture
def port():
    return Ports.find().metrics


@pytest.fixture(scope="module")
def client():
    with httpx.Client(trust_env=False, timeout=30) as client:
        yield client


@pytest.fixture(scope="module")
def operator():
    """The URL of the operator's endpoint of a server that is alive and not ready."""
    port, health = Ports.find().metrics, Health(is_live=True, is_ready=False, reason="loading")
    with LoopbackServer(
        port, operator_endpoint(health=lambda: health, metrics=lambda: b"a 1\n", describe=dict), name="test"
    ):
        yield f"http://127.0.0.1:{port}"


def test_the_operators_endpoint_responds_to_get_and_head(operator, client):
    for path, status in (("/live", 200), ("/ready", 503), ("/metrics", 200), ("/nothing", 404), ("/ready?x=1", 503)):
        got, head = client.get(operator + path), client.head(operator + path)
        assert got.status_code == head.status_code == status
        assert head.content == b"" and head.headers["Content-Length"] == str(len(got.content))
    assert client.get(f"{operator}/ready").json()["reason"] == "loading"
    assert client.post(f"{operator}/ready").status_code == 405


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1", 200), ("127.0.0.1:9", 200), ("localhost:80", 200), ("LOCALHOST", 200),
        ("evil.example", 403), ("evil.example:8082", 403), ("127.0.0.1.evil.example", 403), ("localhost.", 403),
        ("evil:localhost", 403), ("", 403), ("[::1]:80", 403),
    ],
)  # fmt: skip
def test_a_request_under_another_hosts_name_is_refused(operator, host, status, client):
    assert client.get(f"{operator}/live", headers={"Host": host}).status_code == status


def test_a_request_with_two_hosts_is_refused_and_one_without_is_a_probes(operator):
    for headers, status in ((["127.0.0.1", "evil.example"], 403), ([], 200)):
        connection = http.client.HTTPConnection(operator.removeprefix("http://"), timeout=30)
        connection.putrequest("GET", "/live", skip_host=True)
        for host in headers:
            connection.putheader("Host", host)
        connection.endheaders()
        assert connection.getresponse().status == status
        connection.close()


def test_a_probe_that_hangs_up_leaves_no_traceback(port, capfd, client):
    """A response is not read before the client has reset the connection."""
    has_hung_up, seen = threading.Event(), threading.Event()

    def metrics():
        assert has_hung_up.wait(30)
        seen.set()
        return b"x" * 10_000_000  # more than fits into the socket's buffer

    with LoopbackServer(port, operator_endpoint(health=lambda: None, metrics=metrics, describe=dict), name="test"):
        with socket.create_connection(("127.0.0.1", port)) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close() resets
            probe.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        has_hung_up.set()
        assert seen.wait(30)
        assert client.get(f"http://127.0.0.1:{port}/nothing").status_code == 404
        for thread in [each for each in threading.enumerate() if "process_request" in each.name]:
            thread.join(30)
    assert capfd.readouterr().err == ""


def test_a_defect_in_a_response_is_still_reported(port, capfd, client):
    with LoopbackServer(port, lambda _: 1 / 0, name="test"), pytest.raises(httpx.RemoteProtocolError):
        client.get(f"http://127.0.0.1:{port}/")
    assert "ZeroDivisionError" in capfd.readouterr().err


def test_a_port_in_use_is_told(port):
    with LoopbackServer(port, lambda _: None, name="test"), pytest.raises(ServerError, match=f"port {port} cannot be"):
        LoopbackServer(port, lambda _: None, name="test")


class Management(BaseHTTPRequestHandler):
    """In TorchServe's place at the Unix socket: tells what it was asked."""

    def do_PUT(self):
        self.send_response(202)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        told = {"method": self.command, "path": self.path, "authorization": self.headers["Authorization"]}
        self.wfile.write(json.dumps(told).encode())

    do_GET = do_PUT

    def address_string(self):
        return "unix"

    def log_message(self, *_):
        pass


def test_management_is_passed_on_with_the_token_alone(port, tmp_path, monkeypatch, client):
    monkeypatch.chdir(tmp_path)  # a relative path is short enough for a socket
    folder = tmp_path.relative_to(tmp_path)
    write_keys(folder / "key_file.json", "management")
    path, url = "/models/m?min_worker=0&max_worker=0", f"http://127.0.0.1:{port}"
    right = {"Authorization": f"Bearer {read_key(folder / 'key_file.json')}"}
    with LoopbackServer(port, management_relay(folder), name="test"):
        assert client.put(url + path, headers=right).status_code == 502
        with ThreadingUnixStreamServer(str(management_socket(folder)), Management) as torchserve:
            threading.Thread(target=torchserve.serve_forever, daemon=True).start()
            for wrong in ({}, {"Authorization": "Bearer x"}, {"Authorization": right["Authorization"][7:]}):
                refused = client.put(url + path, headers=wrong)
                assert (refused.status_code, refused.headers["WWW-Authenticate"]) == (401, "Bearer")
            assert client.put(url + path, headers={**right, "Host": "evil.example"}).status_code == 403
            passed = client.put(url + path, headers=right)
            assert (passed.status_code, passed.json()["path"], passed.json()["method"]) == (202, path, "PUT")
            assert client.put(url + path, headers=right, content=bytes(70_000)).status_code == 413
            torchserve.shutdown()
