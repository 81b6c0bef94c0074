"""The parts of a plain server without its processes: the link to a worker, its failures, and the management API."""

import asyncio
import json
import signal
import socket
import subprocess
import sys
import threading
import types
import zipfile
from contextlib import ExitStack, closing, contextmanager
from email.message import Message

import pytest
import yaml

from serving.application.models import ReceivedRequest, Versions
from serving.commands.engines import ClusterWords, EngineName, Sources, prepared_server
from serving.front import model_loading
from serving.front.fleet import Fleet, Process
from serving.front.management import management_api
from serving.front.model_loading import LocatedCheckpoint, Surroundings
from serving.front.sources import CheckpointSource
from serving.plain_server.frames import Frames
from serving.plain_server.link import WorkerLink
from serving.plain_server.server import PlainServer
from serving.plain_server.settings import FOLDERS, WorkerSettings
from serving.plain_server.starting import StartedProcess
from serving.plain_server.worker_process import WorkerProcess, error_of, how_it_ended
from serving.server import ServerOptions
from serving.server.keys import read_key, write_keys
from serving.server.loopback_server import Request
from serving.server.management import ServedVersion
from serving.server.model_store import Archive
from serving.service.family_store import FamilyStore
from serving.service.observer import NullObserver
from zoo.errors import CheckpointError, ImageError, RequestError, ServerError, UnknownNameError, WorkerLostError

LATER = WorkerLostError("retry in 3 s", retry_after=3)
ROW = ReceivedRequest(kind="form", fields={"data": b"\x00png", "n": b"7"}, query={"seed": "1"})


def part(id, text, *, is_last):
    head = {"reply": id, "is_last": is_last, "content_type": "application/json", "status": 200, "headers": {"a": "b"}}
    return head, text


def over_a_link(talk, worker):
    """The result of `talk(link)`, while `worker(frames)` runs at the other end and then hangs up."""
    ours, theirs = socket.socketpair()

    def run():
        with theirs:
            worker(Frames(theirs))

    async def main():
        link = await WorkerLink.open(ours, lambda: LATER)
        try:
            return await talk(link)
        finally:
            link.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        return asyncio.run(main())
    finally:
        thread.join(30)


async def collected(parts):
    return [(each.text, each.is_last, dict(each.headers)) async for each in parts]


def test_a_request_crosses_the_link_as_it_is_and_each_gets_its_own_replies():
    def worker(frames):
        (first, body), (second, _) = frames.read(), frames.read()
        assert (first["kind"], first["fields"], first["query"]) == ("form", [["data", 4], ["n", 1]], {"seed": "1"})
        assert body == b"\x00png7"
        frames.write(*part(second["open"], b"second", is_last=True))
        frames.write(*part(first["open"], b"", is_last=False))
        frames.write(*part(first["open"], b"first", is_last=True))
        with pytest.raises(EOFError):
            frames.read()

    async def talk(link):
        return await asyncio.gather(collected(link.replies(ROW)), collected(link.replies(ROW)))

    first, second = over_a_link(talk, worker)
    assert first == [(b"", False, {"a": "b"}), (b"first", True, {"a": "b"})] and second[0][0] == b"second"


def test_a_worker_that_ends_fails_its_requests_and_later_ones_with_a_status_that_is_retried():
    async def talk(link):
        for _ in range(2):
            with pytest.raises(WorkerLostError, match="retry in 3 s"):
                await collected(link.replies(ROW))

    over_a_link(talk, lambda frames: frames.read())
    assert LATER.http_status == 503


def test_a_request_that_is_closed_early_is_forgotten_by_the_worker():
    def worker(frames):
        head, _ = frames.read()
        frames.write(*part(head["open"], b"line", is_last=False))
        assert frames.read()[0] == {"forget": head["open"]}

    async def talk(link):
        parts = link.replies(ROW)
        await anext(parts)
        await parts.aclose()

    over_a_link(talk, worker)


@contextmanager
def a_started_process():
    """A process that waits, as a worker without settings does, and the worker's end of the connection to it."""
    command = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    ours, theirs = socket.socketpair()
    with (
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True) as process,
        theirs,
    ):
        try:
            yield StartedProcess(process, ours), theirs
        finally:
            process.kill()


@contextmanager
def running_loop():
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)
        loop.close()


def test_a_process_that_was_started_early_becomes_the_first_worker(tmp_path):
    settings = WorkerSettings(source=tmp_path / "m.mar", noise_secret="ab", **dict.fromkeys(FOLDERS, tmp_path))
    logs = types.SimpleNamespace(copy_output=lambda output, pid: None)
    description = {"archive": str(tmp_path / "m.mar"), "name": "m", "version": "1.0"}
    with a_started_process() as (started, theirs), running_loop() as loop:
        worker = WorkerProcess(settings, environment={}, started=started, logs=logs, loop=loop)
        try:
            frames = Frames(theirs)
            assert WorkerSettings.from_json(frames.read()[0]["load"]) == settings
            frames.write({"ready": description})
            worker.wait_until_loaded()
            assert worker.description == description and worker.is_ready and worker.pid == started.process.pid
        finally:
            worker.stop()
        assert started.process.poll() == -signal.SIGTERM


def test_a_process_that_was_started_for_a_server_that_cannot_be_made_is_ended(tmp_path):
    with a_started_process() as (started, _):
        with pytest.raises(ServerError, match="missing"):
            PlainServer([], started=[started], options=ServerOptions(tokens=tmp_path / "missing"))
        assert started.process.poll() == -signal.SIGTERM and started.connection.fileno() == -1


@pytest.mark.parametrize("models", [["a"], ["a", "b"]], ids=["no front", "no second process"])
def test_the_processes_that_were_started_are_ended_if_the_rest_cannot_start(models, monkeypatch):
    monkeypatch.setitem(sys.modules, "serving.plain_server.server", None)
    words = {"n": 1, "max_n": 1, "max_pixels": 1, "limits": (), "device": "cpu", "backend": "auto", "precision": None}
    server = {"cluster": ClusterWords(), "ports": None, "options": ServerOptions(), "opened": ExitStack()}
    with a_started_process() as (first, _):
        left = [first]
        monkeypatch.setattr(StartedProcess, "start", lambda environment: left.pop())
        with pytest.raises((ImportError, IndexError)):
            prepared_server(EngineName.ASGI, Sources(models=models, store=None, **words), **server)
        assert first.process.returncode == -signal.SIGTERM and first.connection.fileno() == -1


def test_the_settings_of_a_worker_cross_the_link(tmp_path):
    folders = dict.fromkeys(FOLDERS, tmp_path)
    for source in (tmp_path / "m.mar", CheckpointSource(model="m", store="s", limits=("n0=50",))):
        settings = WorkerSettings(source=source, noise_secret="ab", **folders)
        assert WorkerSettings.from_json(json.loads(json.dumps(settings.to_json()))) == settings


SURROUNDINGS = Surroundings(
    noise_secret=bytes(32), families=FamilyStore, observer=NullObserver(), is_closing=lambda: False
)


def test_a_checkpoint_is_loaded_with_the_settings_of_its_archive_while_that_is_written(
    digits_checkpoint, tmp_path, monkeypatch
):
    is_loading, load_configured, write = threading.Event(), model_loading.load_configured, model_loading.write_archive

    def noticed(*args, **options):
        is_loading.set()
        return load_configured(*args, **options)

    def write_later(*args):
        assert is_loading.wait(60), "the archive is written first"
        return write(*args)

    monkeypatch.setattr(model_loading, "load_configured", noticed)
    monkeypatch.setattr(model_loading, "write_archive", write_later)
    located = LocatedCheckpoint.of(CheckpointSource(model=str(digits_checkpoint.path), device="cpu", limits=("n0=50",)))
    archive, service = located.archived_and_loaded(tmp_path, SURROUNDINGS)
    with closing(service):
        assert (service.limits.n0, service.model_sha256) == (50, digits_checkpoint.weights_sha256)
    assert archive == Archive(tmp_path / f"{digits_checkpoint.spec.name}.mar", digits_checkpoint.spec.name, "1.0")
    with zipfile.ZipFile(archive.path) as file:
        assert yaml.safe_load(file.read("model-config.yaml")) == located.content.settings


def test_a_checkpoint_whose_archive_cannot_be_written_is_not_served(digits_checkpoint, tmp_path, monkeypatch):
    ended = []
    service = types.SimpleNamespace(close=lambda: ended.append(True))
    monkeypatch.setattr(model_loading, "load_configured", lambda *args, **options: service)
    (tmp_path / "file").write_text("")
    located = LocatedCheckpoint.of(CheckpointSource(model=str(digits_checkpoint.path), device="cpu", backend="torch"))
    with pytest.raises(ServerError, match="cannot be written"):
        located.archived_and_loaded(tmp_path / "file", SURROUNDINGS)
    assert ended == [True]


def test_a_workers_failure_is_raised_as_the_error_that_it_was():
    assert isinstance(error_of({"type": "CheckpointError", "message": "damaged"}), CheckpointError)
    assert isinstance(error_of({"type": "ImageError", "message": "no"}), ImageError)
    for type in ("RefusedError", "UnknownNameError"):  # which need more than a message
        error = error_of({"type": type, "message": "why"})
        assert (error.exit_code, str(error)) == (2, "why")
    for type in ("RuntimeError", "nonsense", "Iterable"):
        error = error_of({"type": type, "message": "why"})
        assert isinstance(error, ServerError) and str(error) == "why"
    assert how_it_ended(-9) == "was killed by SIGKILL, for example by the kernel when the memory was full"
    assert how_it_ended(3) == "ended with exit code 3"


class Loaded:
    """A worker that has loaded a model."""

    is_ready, pid = True, 7

    def __init__(self, name, version, *, error=None):
        description = {"archive": f"{name}.mar", "name": name, "version": version}
        self.description, self.error, self.is_stopped = description, error, False

    def wait_until_loaded(self):
        if self.error is not None:
            raise self.error

    def processes(self):
        return (Process(slot=0, pid=self.pid, is_ready=self.is_ready),)

    def stop(self):
        self.is_stopped = True


def test_models_are_served_together_or_not_at_all():
    first, same, other, damaged = (
        Loaded("m", "1.0"), Loaded("m", "1.0"), Loaded("other", "1.0"), Loaded("n", "1.0", error=ServerError("damaged"))
    )  # fmt: skip
    fleet = Fleet(lambda worker: worker)
    with pytest.raises(RequestError, match=r"two models have the same name and version \(m 1\.0\)"):
        fleet.load(first, same)
    with pytest.raises(ServerError, match="damaged"):
        fleet.load(other, damaged)
    assert all(worker.is_stopped for worker in (first, same, other, damaged)) and not fleet.versions()


def test_the_first_version_is_the_default_until_another_is_and_only_others_can_be_removed():
    fleet = Fleet(lambda worker: worker)
    first, second = Loaded("m", "1.0"), Loaded("m", "2.0")
    fleet.load(first)
    fleet.load(second)
    assert fleet.models["m"].default == "1.0" and set(fleet.models["m"].by_version) == {"1.0", "2.0"}
    with pytest.raises(RequestError, match=r"m 1\.0 is the default version"):
        fleet.unload("m", "1.0")
    fleet.switch("m", "2.0")
    assert [(each.version, each.is_default) for each in fleet.versions()] == [("1.0", False), ("2.0", True)]
    fleet.unload("m", "1.0")
    assert first.is_stopped and set(fleet.models["m"].by_version) == {"2.0"}
    with pytest.raises(UnknownNameError, match=r"known: m 2\.0"):
        fleet.switch("m", "1.0")
    fleet.scale("m", "2.0", num_workers=0)
    assert second.is_stopped and not fleet.models["m"].by_version["2.0"].is_ready
    with pytest.raises(WorkerLostError):
        fleet.models["m"].by_version["2.0"].replies(ROW)
    fleet.unload("m", "2.0")
    assert not fleet.models


class ManagedFleet:
    """Notes what it is asked to do."""

    def __init__(self):
        self.asked, self.models = [], {"m": Versions("1.0", {})}

    def versions(self):
        return [
            ServedVersion(
                name="m", version=version, archive=f"m-{version}.mar", is_default=version == "1.0",
                num_workers=0, num_ready=0, num_waiting=0, workers=(),
            )
            for version in ("1.0", "2.0")
        ]  # fmt: skip

    def load(self, path):
        self.asked.append(("load", path.name))
        return [Archive(path, "m", "3.0")]

    def switch(self, name, version):
        if version == "9":
            raise UnknownNameError("version", version, [])
        self.asked.append(("switch", name, version))

    def scale(self, name, version, *, num_workers):
        self.asked.append(("scale", name, version, num_workers))

    def unload(self, name, version):
        self.asked.append(("unload", name, version))


@pytest.fixture
def managed(tmp_path):
    """A fleet, and a function that sends a management request: `(status, body)`."""
    fleet, key_file = ManagedFleet(), tmp_path / "keys.json"
    write_keys(key_file, "management")
    (tmp_path / "archives").mkdir()
    (tmp_path / "archives" / "new.mar").touch()

    def send(method, path, *, token=None, can_switch_models=True):
        headers = Message()
        headers["Authorization"] = f"Bearer {token or read_key(key_file)}"
        respond = management_api(
            fleet, archives=tmp_path / "archives", key_file=key_file, can_switch_models=can_switch_models
        )
        response = respond(Request(method=method, path=path, headers=headers, body=b""))
        return response.status, json.loads(response.body)

    return fleet, send


def test_the_management_api_has_torchserves_addresses(managed):
    fleet, send = managed
    assert send("GET", "/models?limit=9") == (200, {"models": [{"modelName": "m", "modelUrl": "m-1.0.mar"}]})
    assert [each["modelVersion"] for each in send("GET", "/models/m")[1]] == ["1.0"]
    assert [each["modelVersion"] for each in send("GET", "/models/m/all")[1]] == ["1.0", "2.0"]
    for method, path in (
        ("PUT", "/models/m/2.0/set-default"), ("PUT", "/models/m/2.0?min_worker=0"), ("PUT", "/models/m?min_worker=1"),
        ("POST", "/models?url=new.mar"), ("DELETE", "/models/m/2.0"),
    ):  # fmt: skip
        assert send(method, path)[0] == 200
    assert fleet.asked == [
        ("switch", "m", "2.0"), ("scale", "m", "2.0", 0), ("scale", "m", "1.0", 1), ("load", "new.mar"),
        ("unload", "m", "2.0"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/models/x/all", 404), ("GET", "/nothing", 404), ("PUT", "/models/m/9/set-default", 404),
        ("PUT", "/models/m/2.0?min_worker=x", 400), ("POST", "/models?url=../keys.json", 400),
        ("POST", "/models?url=%2Fetc%2Fpasswd", 400),
    ],
)  # fmt: skip
def test_what_the_management_api_cannot_do_it_refuses_in_words(managed, method, path, status):
    fleet, send = managed
    answered, body = send(method, path)
    assert (answered, body["code"]) == (status, status) and body["message"] and not fleet.asked


def test_the_management_api_needs_its_token_and_for_other_models_a_store(managed):
    fleet, send = managed
    assert send("GET", "/models", token="x")[0] == 401
    for method, path in (("POST", "/models?url=new.mar"), ("DELETE", "/models/m/2.0")):
        status, body = send(method, path, can_switch_models=False)
        assert status == 405 and "--store" in body["message"]
    assert not fleet.asked
