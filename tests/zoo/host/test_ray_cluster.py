"""Clusters that cannot be used: one sentence in seconds, by the probe that protects from Ray's endless waiting.

The clusters that can be used are in tests/training/study/test_ray.py, which share one.
"""

import socket
import subprocess
import sys
from types import SimpleNamespace

import pytest

from zoo.errors import RequestError, ZooError
from zoo.host.ray_cluster import _sentence_of, ray_cluster, require_reachable


def test_without_the_package_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ZooError, match=r"^Ray is not installed: pip install 'certified-zoo\[ray\]'$"), ray_cluster():
        pytest.fail("there is no Ray")


@pytest.mark.parametrize("address", ["127.0.0.1", "ray://127.0.0.1:10001", "http://a:1", "127.0.0.1:port", ""])
def test_an_address_of_another_form_is_refused(address):
    with pytest.raises(RequestError, match="--ray-address takes HOST:PORT or auto"):
        require_reachable(address)


def test_a_closed_port_is_reported_at_once():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(ZooError, match=rf"the Ray cluster at 127\.0\.0\.1:{port} cannot be reached \(.*refused"):
        require_reachable(f"127.0.0.1:{port}")


def test_a_server_that_is_not_a_cluster_is_given_up(monkeypatch):
    monkeypatch.setattr("zoo.host.ray_cluster._PROBE", "import time; time.sleep(60)")  # as Ray does, for longer
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(ZooError, match=r"within 0\.5 s: check its"):
        require_reachable(f"127.0.0.1:{silent.getsockname()[1]}", seconds=0.5)


def test_other_versions_are_named():
    traceback = (
        "Traceback (most recent call last):\n  ...\nRuntimeError: Version mismatch: The cluster was started with:\n"
        "    Ray: 2.9.0\n    Python: 3.12.1\nThis process on node 192.0.2.1 was started with:\n"
        "    Ray: 2.60.0\n    Python: 3.11.9\n\n"
    )
    sentence = _sentence_of(traceback, address="head:6379", advice="start one")
    assert sentence == (
        "the Ray cluster at head:6379 has Ray 2.9.0 and Python 3.12.1, this process Ray 2.60.0 and Python 3.11.9: "
        "install the same versions on all machines"
    )


def test_any_other_reason_is_the_exception_s_first_line():
    traceback = "Traceback ...\nray.exceptions.AuthenticationError: the token is invalid\nmore\n"
    assert _sentence_of(traceback, address="h:1", advice="do this") == (
        "the Ray cluster at h:1 cannot be used (the token is invalid): do this"
    )


class Ray:
    """Stands for Ray: starts fail with these errors, after a process of theirs has started, and later ones succeed."""

    def __init__(self, *errors):
        self.errors, self.processes, self.is_connected = list(errors), [], False
        self._private = SimpleNamespace(worker=SimpleNamespace(_worker_logs_enabled=True))

    def init(self, address, *, _temp_dir, **options):
        command = [sys.executable, "-c", "import sys; sys.stdin.read()", _temp_dir]
        self.processes.append(subprocess.Popen(command, stdin=subprocess.PIPE))
        if self.errors:
            raise Exception(self.errors.pop(0))
        self.is_connected = True

    def is_initialized(self):
        return self.is_connected

    def shutdown(self, *, wait_for_processes):
        self.is_connected = False

    def get_runtime_context(self):
        return SimpleNamespace(gcs_address="127.0.0.1:6379")


@pytest.fixture
def fake_ray(monkeypatch):
    """A function that puts a `Ray` in the place of the package."""
    made = []

    def put(*errors):
        made.append(Ray(*errors))
        monkeypatch.setitem(sys.modules, "ray", made[-1])
        monkeypatch.setitem(sys.modules, "ray._private", made[-1]._private)
        monkeypatch.setenv("RAY_AUTH_TOKEN", "a token of this test")
        return made[-1]

    yield put
    for process in (process for ray in made for process in ray.processes):
        process.kill()
        process.communicate()


SLOW = "The current node timed out during startup. This could happen because some of the raylet failed to startup."


def test_a_start_that_is_too_slow_is_repeated_once_without_the_processes_of_the_first(fake_ray, caplog):
    ray = fake_ray(SLOW)
    with ray_cluster():
        first, second = ray.processes
        assert first.wait(30) == -9 and second.poll() is None
        assert "starting it once more" in caplog.text
    assert second.wait(30) == -9 and not ray.is_connected


def test_a_start_that_is_too_slow_twice_is_given_up_in_one_sentence_and_another_failure_at_once(fake_ray):
    ray = fake_ray(SLOW, SLOW)
    sentence = r"^no Ray cluster: .*timed out .* Tried 2 times: this machine may be too busy$"
    with pytest.raises(ZooError, match=sentence), ray_cluster():
        pytest.fail("it has not started")
    assert [process.wait(30) for process in ray.processes] == [-9, -9]
    ray = fake_ray("no permission", "never reached")
    with pytest.raises(ZooError, match=r"^no Ray cluster: no permission$"), ray_cluster():
        pytest.fail("it has not started")
    assert len(ray.processes) == 1


def test_a_connected_process_refuses_the_address_of_another_cluster(fake_ray):
    fake_ray().is_connected = True
    for address in (None, "auto", "127.0.0.1:6379", "localhost:6379"):
        with ray_cluster(address=address):
            pass
    sentence = r"to the Ray cluster at 127\.0\.0\.1:6379 already, .* at 127\.0\.0\.1:7000"
    with pytest.raises(RequestError, match=sentence), ray_cluster(address="127.0.0.1:7000"):
        pytest.fail("it is connected to another one")
