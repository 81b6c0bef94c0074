"""The proxy's configuration in a real nginx: TLS, tokens, only predictions, streams unbuffered."""

import datetime
import os
import shutil
import signal
import ssl
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from serving.server.ports import Ports

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed")
CONFIGURATION = Path("deploy/nginx/nginx.conf")


class Upstream(BaseHTTPRequestHandler):
    """In the server's place: tells what it was sent, in two parts of which the second has to be waited for."""

    protocol_version = "HTTP/1.1"
    goes_on = threading.Event()

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self._chunk(f"{self.path} {self.headers.get('Authorization')} {len(body)}\n")
        self.goes_on.wait(timeout=60)
        self._chunk("end\n")
        self.wfile.write(b"0\r\n\r\n")

    def do_GET(self):
        told = f"get {self.path} {self.headers.get('Authorization')}".encode()
        self.send_response(503 if self.path == "/ready" and not self.goes_on.is_set() else 200)
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)

    def _chunk(self, text):
        self.wfile.write(f"{len(text):x}\r\n{text}\r\n".encode())
        self.wfile.flush()

    def log_message(self, *_):
        pass


def write_certificate(folder):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    (folder / "tls.crt").write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    encoding = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "tls.key").write_bytes(key.private_bytes(*encoding))


@pytest.fixture
def proxy(tmp_path):
    """nginx with the shipped configuration, its places and ports exchanged: (URL, metrics URL, client, log)."""
    write_certificate(tmp_path)
    (tmp_path / "tokens.conf").write_text('"Bearer secret-of-alice" alice;\n')
    Upstream.goes_on.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Upstream) as upstream:
        threading.Thread(target=upstream.serve_forever, daemon=True).start()
        ports = Ports.find()
        text = CONFIGURATION.read_text()
        exchanged = {
            "/tmp/": f"{tmp_path}/",
            "/etc/zoo": str(tmp_path),
            "/dev/stdout": f"{tmp_path}/access.jsonl",
            "listen 8443": f"listen 127.0.0.1:{ports.inference}",
            "listen 9090": f"listen 127.0.0.1:{ports.metrics}",
            "127.0.0.1:8080": f"127.0.0.1:{upstream.server_address[1]}",
            "127.0.0.1:8082": f"127.0.0.1:{upstream.server_address[1]}",
        }
        for before, after in exchanged.items():
            assert before in text, before
            text = text.replace(before, after)
        (tmp_path / "nginx.conf").write_text(text)
        command = [NGINX, "-c", str(tmp_path / "nginx.conf"), "-p", str(tmp_path)]
        tested = subprocess.run([*command, "-t"], capture_output=True, text=True)
        assert tested.returncode == 0 and "warn" not in tested.stderr, tested.stderr
        directives = "daemon off;" + (
            " user root;" if os.geteuid() == 0 else ""
        )  # pytest's folders are this user's alone
        process = subprocess.Popen([*command, "-g", directives], stderr=subprocess.PIPE, text=True)
        context = ssl.create_default_context(cafile=str(tmp_path / "tls.crt"))
        url, metrics = f"https://localhost:{ports.inference}", f"http://127.0.0.1:{ports.metrics}"
        try:
            with httpx.Client(verify=context, trust_env=False, timeout=30) as client:
                wait_until_answered(client, url)
                yield url, metrics, client, tmp_path / "access.jsonl"
        finally:
            process.send_signal(signal.SIGQUIT)  # what is open is answered first
            process.communicate(timeout=30)
            upstream.shutdown()


def wait_until_answered(client, url):
    deadline = time.monotonic() + 30
    while True:
        try:
            return client.get(url)
        except httpx.ConnectError:
            assert time.monotonic() < deadline
            time.sleep(0.02)


def test_only_predictions_pass_and_only_with_a_token_which_ends_at_the_proxy(proxy):
    url, metrics, client, log = proxy
    known = {"Authorization": "Bearer secret-of-alice"}
    Upstream.goes_on.set()
    answer = client.post(f"{url}/predictions/m/1.0", content=b"12345", headers=known)
    assert (answer.status_code, answer.text) == (200, "/predictions/m/1.0 None 5\nend\n")
    for path in ("/predictions/m", "/v1/models/m:predict", "/v2/models/m/infer"):
        assert client.post(url + path, content=b"1", headers=known).status_code == 200
        for headers in ({}, {"Authorization": "Bearer secret-of-mallory"}):
            refused = client.post(url + path, content=b"1", headers=headers)
            assert (refused.status_code, refused.headers["WWW-Authenticate"]) == (401, "Bearer")
    for path in ("/ping", "/models", "/metrics", "/invocations", "/predictions/m/1.0/any"):
        assert client.post(url + path, content=b"1", headers=known).status_code == 404
    assert client.get(f"{url}/predictions/m", headers=known).status_code == 403
    too_large = client.post(f"{url}/predictions/m", content=bytes(34_000_000), headers=known)
    assert too_large.status_code == 413
    assert client.get(f"{metrics}/metrics").text == "get /metrics None"
    assert client.get(f"{metrics}/ready").text == "get /ready None"
    assert client.get(f"{metrics}/live").status_code == 404
    assert "secret-of" not in log.read_text() and '"client":"alice","status":200' in log.read_text()


def test_the_health_addresses_of_the_open_inference_protocol_are_answered_from_ready_and_live(proxy):
    url, _, client, _ = proxy
    known = {"Authorization": "Bearer secret-of-alice"}
    ready = ("/v2/health/ready", "/v2/models/m/ready")
    for path in ready:
        assert client.get(url + path, headers=known).status_code == 503
    Upstream.goes_on.set()
    for path, told in (*((path, "get /ready None") for path in ready), ("/v2/health/live", "get /live None")):
        answer = client.get(url + path, headers=known)
        assert (answer.status_code, answer.text) == (200, told)
        assert client.get(url + path).status_code == 401
        assert client.post(url + path, headers=known).status_code == 403
    assert client.get(f"{url}/v2/models/m", headers=known).status_code == 404


def test_an_image_that_is_sent_as_a_form_is_refused_before_torchserve_misreads_it(proxy):
    url, _, client, _ = proxy
    known = {"Authorization": "Bearer secret-of-alice"}
    Upstream.goes_on.set()
    for kind in ("application/x-www-form-urlencoded", "Application/X-WWW-Form-Urlencoded; charset=utf-8"):
        answer = client.post(f"{url}/predictions/m", content=b"%zz", headers={**known, "Content-Type": kind})
        assert answer.status_code == 415
    for kind in ("image/png", "application/octet-stream", "multipart/form-data; boundary=b", "application/json"):
        answer = client.post(f"{url}/predictions/m", content=b"%zz", headers={**known, "Content-Type": kind})
        assert answer.status_code == 200


def test_a_streams_first_line_comes_before_its_last_is_made(proxy):
    url, _, client, _ = proxy
    headers = {"Authorization": "Bearer secret-of-alice"}
    with client.stream("POST", f"{url}/predictions/m", content=b"1", headers=headers) as response:
        lines = response.iter_lines()
        assert next(lines).startswith("/predictions/m")
        Upstream.goes_on.set()
        assert list(lines) == ["end"]
