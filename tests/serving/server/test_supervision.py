"""What the parent process does about a server whose workers, or whose management, are gone."""

import io
import json
import logging
from contextlib import contextmanager

import pytest

from serving.server import supervision
from serving.server.logs import JsonLines
from serving.server.supervision import Supervisor
from tests.serving.server.test_worker_watch import served
from zoo.errors import ServerUnavailableError


class Scripted:
    """A management API that gives one description after another; an exception is raised."""

    def __init__(self, *descriptions):
        self.descriptions, self.scaled = list(descriptions), []

    @contextmanager
    def open(self):
        yield self

    def versions(self):
        answer = self.descriptions.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def scale(self, name, version, *, num_workers):
        self.scaled.append((name, version, num_workers))


class Clock:
    now = 0.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(supervision, "time", clock)
    return clock


def supervisor(management, *, is_closing=False):
    """A supervisor without its thread, and a function that reads the events."""
    stream, logger = io.StringIO(), logging.Logger("serving.server")
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines(is_serving=False))
    logger.addHandler(handler)
    made = Supervisor(management.open, logger=logger, is_closing=lambda: is_closing)
    return made, lambda: [json.loads(line)["message"] for line in stream.getvalue().splitlines()]


READY, KILLED, NONE = served(("9000", 10, True)), served(("9000", 10, False)), served()


def test_a_killed_worker_is_logged_once_with_its_process(clock):
    made, events = supervisor(Scripted([READY], [KILLED], [KILLED]))
    for _ in range(3):
        made.supervise()
    (event,) = events()
    assert "process 10 of m 1.0" in event and "killed" in event
    assert not made.health().is_ready and made.health().is_live


def test_workers_that_were_scaled_to_none_are_started_again(clock):
    management = Scripted([READY], [NONE])
    made, events = supervisor(management)
    made.supervise()
    made.supervise()
    assert management.scaled == [("m", "1.0", 1)] and events() == ["m 1.0 has no workers; starting 1"]


def test_nothing_is_done_while_the_server_stops(clock):
    management = Scripted([READY], [KILLED], [NONE])
    made, events = supervisor(management, is_closing=True)
    for _ in range(3):
        made.supervise()
    assert not management.scaled and not events()


def test_a_server_whose_workers_do_not_come_back_is_not_alive(clock):
    made, events = supervisor(Scripted([READY], [KILLED], [KILLED]))
    for clock.now, is_live in ((0.0, True), (60.0, True), (61.0, False)):
        made.supervise()
        assert made.health().is_live == is_live
    assert made.failure == "no worker of m 1.0 has been ready for 60 s, so the server cannot answer"
    assert not made.health().is_live and made.health().reason == made.failure == events()[-1]


def test_a_start_waits_for_every_model_and_a_running_server_for_none_that_is_new(clock):
    loading = served(("9001", 11, False), name="other")
    made, _ = supervisor(Scripted([READY, loading], *[[READY, loading]] * 100))
    made.look()
    assert made.health().reason == "no worker is ready for other 1.0"
    made.start()
    assert made.health().is_ready
    made.stop()


def test_a_management_that_answers_late_is_no_death_and_one_that_never_answers_is(clock):
    late = ServerUnavailableError("no answer from the management")
    made, _ = supervisor(Scripted([READY], late, late, [READY]))
    made.supervise()
    for now in (10.0, 29.0):
        clock.now = now
        made.supervise()
        assert made.health().is_ready and made.health().is_live
    clock.now = 31.0
    assert not made.health().is_live and "no answer from the management (for more than 30 s)" in made.health().reason
    made.supervise()
    assert made.health().is_ready and made.failure is None
