"""Clusters that cannot be used: one sentence in seconds, by the probe that protects from Ray's endless waiting.

The clusters that can be used are in tests/training/study/test_ray.py, which share one.
"""

import socket
import sys

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
