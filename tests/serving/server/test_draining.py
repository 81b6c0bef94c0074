"""A server that is being stopped answers what it took and refuses what is new."""

import time

import pytest

from serving.metrics import PrometheusObserver
from serving.server.draining import ALL, SIGNS, DrainSign, sign_of, wait_until_idle
from tests.serving.toy import png, toy_service


def test_while_it_is_being_stopped_a_service_goes_on_with_what_is_open_and_refuses_what_is_new():
    service = toy_service(batch_size=64, n=100)
    assert not service.step({"open": {"data": png(255)}})["open"].is_last
    service.is_closing = lambda: True
    late = service.step({"open": {}, "late": {"data": png(255)}})["late"]
    assert (late.status, late.is_last, late.body["type"]) == (503, True, "ClosingError")
    assert int(late.headers["Retry-After"]) >= 1 and "is stopping" in late.body["message"]
    replies = [service.step({"open": {}})["open"]]
    while not replies[-1].is_last:
        replies.append(service.step({"open": {}})["open"])
    assert replies[-1].status == 200 and replies[-1].body["certificate"]["n"] == 100


def test_a_sign_drains_one_version_or_all(tmp_path, monkeypatch):
    assert not DrainSign.from_environment("m", "1.0").is_up()
    monkeypatch.setenv(SIGNS, str(tmp_path))
    first, second = (DrainSign.from_environment("m", version) for version in ("1.0", "2.0"))
    assert not first.is_up() and not second.is_up()
    sign_of(tmp_path, "m", "1.0").touch()
    assert first.is_up() and not second.is_up()
    (tmp_path / ALL).touch()
    assert second.is_up()


def test_the_wait_ends_when_nothing_was_open_for_a_while_or_when_the_time_is_over():
    looks = iter([2, 1, 1, 0])
    assert wait_until_idle(lambda: next(looks, 0), seconds=30)
    assert next(looks, None) is None
    started = time.monotonic()
    assert not wait_until_idle(lambda: 1, seconds=0.3)
    assert time.monotonic() - started < 20


@pytest.mark.parametrize("comes_back", [True, False])
def test_a_request_counts_as_open_only_as_long_as_it_is_handed_over_again(comes_back, monkeypatch):
    monkeypatch.setattr("serving.metrics.ABANDONED_SECONDS", 0.2)
    observer = PrometheusObserver(model="m", version="1.0")
    observer.watch_for_abandonment()
    observer.ended(num_open=1)
    if comes_back:
        observer.began()
    deadline = time.monotonic() + (0.5 if comes_back else 30)
    while (found := observer.registry.get_sample_value("zoo_open_requests", {"model": "m", "version": "1.0"})) == 1:
        if time.monotonic() > deadline:
            break
        time.sleep(0.02)
    assert found == (1 if comes_back else 0)
