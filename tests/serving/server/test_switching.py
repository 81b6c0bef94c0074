"""Adding a version to a server whose management API answers late, in the negative, or no more."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from serving.server import switching
from serving.server.management import Management
from serving.server.model_store import Archive
from serving.server.record import ServerRecord
from zoo.errors import RequestError, ServerError


class ManagementServer(ThreadingHTTPServer):
    """TorchServe's management API in two versions of `m`: 1.0 is ready, 2.0 is what the test says.

    A registration is answered with `status`; with None it is not answered until the server is closed.
    """

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.status, self.workers, self.is_deaf, self.registrations = None, [], False, 0
        self.is_closing = threading.Event()

    def versions(self):
        workers_of = {"1.0": ["READY"]} | ({} if self.workers is None else {"2.0": self.workers})
        return [
            {
                "modelName": "m",
                "modelVersion": version,
                "modelUrl": f"m-{version}.mar",
                "workers": [{"id": "9000", "pid": 1, "status": status} for status in workers],
                "jobQueueStatus": {"pendingRequests": 0},
            }
            for version, workers in workers_of.items()
        ]


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.server.is_deaf and self.server.registrations:
            return
        body = {"/models/m": self.server.versions()[:1], "/models/m/all": self.server.versions()}
        self.reply(200, body.get(self.path, {"models": [{"modelName": "m"}]}))

    def do_POST(self):
        self.server.registrations += 1
        if self.server.status is None:
            self.server.is_closing.wait(60)
        else:
            self.reply(self.server.status, {"message": "what the server says"})

    def reply(self, status, body):
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr("serving.server.management.LOADING_TIMEOUT", 0.3)
    with ManagementServer() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.is_closing.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def archive(tmp_path):
    for folder in (tmp_path / "private", tmp_path):
        folder.mkdir(exist_ok=True)
        (folder / "m-2.0.mar").write_bytes(b"an archive")
    return Archive(tmp_path / "private/m-2.0.mar", "m", "2.0")


def kept(archive):
    """The archive in the operator's store."""
    return archive.path.parents[1] / archive.path.name


def add(server, archive):
    url = f"http://127.0.0.1:{server.server_port}"
    folder = str(archive.path.parent)
    record = ServerRecord(management=url, key_file="unused", archives=folder, signs=folder, metrics=folder, logs=folder)
    with Management(url, timeout=0.3) as management:
        switching.add(record, management, archive, kept=kept(archive))


@contextmanager
def refused(kind, text):
    with pytest.raises(kind, match=text) as error:
        yield
    assert type(error.value) is kind


def test_a_version_that_the_server_cannot_load_is_deleted(server, archive):
    server.status = 500
    with refused(ServerError, "m 2.0 cannot be loaded, and is not served: .*what the server says"):
        add(server, archive)
    assert not archive.path.exists() and not kept(archive).exists()


def test_a_version_that_is_still_loaded_after_the_time_to_wait_keeps_its_archive(server, archive):
    with refused(ServerError, r"m 2\.0: no answer .*has registered it, and no worker is ready.* stays in "):
        add(server, archive)
    assert archive.path.exists() and kept(archive).exists()


@pytest.mark.parametrize(("is_deaf", "said"), [(False, "does not list it yet"), (True, "does not say whether")])
def test_a_version_of_which_nothing_is_known_keeps_its_archive(is_deaf, said, server, archive):
    server.workers, server.is_deaf = None, is_deaf
    with refused(ServerError, f"m 2.0: no answer .*{said}.*stays in"):
        add(server, archive)
    assert archive.path.exists() and kept(archive).exists()


def test_a_version_that_is_ready_when_only_the_answer_was_lost_is_added(server, archive):
    server.workers = ["READY"]
    add(server, archive)
    assert archive.path.exists() and server.registrations == 1


def test_a_version_that_another_command_has_added_meanwhile_keeps_its_archive(server, archive):
    server.status = 409
    with refused(RequestError, "the server answered 409: what the server says"):
        add(server, archive)
    assert archive.path.exists() and kept(archive).exists()
