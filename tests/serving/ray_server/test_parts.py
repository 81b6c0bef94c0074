"""The parts of a server with replicas in Ray, without a cluster: where requests go, the scaling, and the metrics."""

import asyncio
import itertools
import sys
import threading
import time
from contextlib import closing
from types import SimpleNamespace

import pytest

pytest.importorskip("ray", reason="the extra `ray` is not installed: pip install 'certified-zoo[ray]'")

import ray
from prometheus_client.mmap_dict import MmapedDict, mmap_key

from serving.application.models import Part, ReceivedRequest
from serving.front.sources import CheckpointSource
from serving.ray_server.handle import ReplicaHandle
from serving.ray_server.messages import Loaded, Pulse
from serving.ray_server.metrics import ReplicaMetrics
from serving.ray_server.pool import ReplicaPool
from serving.ray_server.scaling import Bounds, Scaling
from serving.server.draining import ALL, DrainSign
from serving.server.exposition import total
from zoo.errors import ClosingError, OverloadError, RequestError, ServerError, WorkerLostError

ROW = ReceivedRequest(kind="form", fields={"data": b"png"})
LOST = WorkerLostError("lost", retry_after=2)
FIRST = Part(text=b"first", is_last=False, content_type="application/x-ndjson")
LAST = Part(text=b"last", is_last=True, content_type="application/json")
REFUSED = Part(text=b"full", is_last=True, content_type="application/json", status=429)


class Replica:
    """Answers each request with the next of its scripts: parts, and perhaps an error at their end."""

    is_leaving, pulse = False, Pulse(seconds_of_work=3.5, metrics={}, events=[])

    def __init__(self, *scripts, num_open=0, has_room=True):
        self.scripts, self.num_open, self.has_room, self.is_ready = list(scripts), num_open, has_room, True

    async def replies(self, request):
        assert request is ROW
        for part in self.scripts.pop(0):
            if isinstance(part, Exception):
                self.is_ready = bool(self.scripts)
                raise part
            yield part


class NothingToLoad:
    """Loads no replica: those of the test stand in the pool."""

    def __init__(self):
        self.calls = []

    def replica(self):
        self.calls.append("replica")
        return f"actor {len(self.calls)}"

    def adopt(self, source):
        self.calls.append("adopt")
        raise ServerError("nothing to load")


@pytest.fixture
def pool_of(tmp_path):
    """A function that makes a pool of replicas with their scripts, and the sums of its metrics."""
    with closing(ReplicaMetrics(tmp_path)) as metrics:

        def make(*replicas):
            pool = ReplicaPool(
                CheckpointSource(model="m"),
                launch=NothingToLoad(),
                counts=None,
                bounds=Bounds(),
                signs=tmp_path,
                metrics=metrics,
                logs=None,
            )
            with pytest.raises(ServerError, match="nothing to load"):
                pool.wait_until_loaded()
            pool.description = {"name": "m", "version": "1.0"}
            pool._replicas, pool._sign = list(replicas), DrainSign.in_folder(tmp_path, "m", "1.0")
            return pool

        yield make


def answer_of(pool):
    async def collect():
        return [part.text async for part in pool.replies(ROW)]

    return asyncio.run(collect())


def test_a_request_goes_to_the_replica_with_the_fewest_and_to_another_one_if_that_dies(pool_of):
    dying, other = Replica([LOST]), Replica([FIRST, LAST], num_open=3)
    assert answer_of(pool_of(dying, other)) == [b"first", b"last"]
    assert not dying.scripts and not other.scripts


def test_a_request_that_waits_for_a_place_after_a_death_is_answered_by_the_next_replica(pool_of):
    pool = pool_of(Replica([LOST]))
    later = threading.Timer(0.3, lambda: pool._replicas.append(Replica([REFUSED], [LAST])))
    later.start()
    assert answer_of(pool) == [b"last"], "neither the missing replica nor a full one refuses what had a place"
    later.join()


def test_a_stream_that_has_begun_and_a_request_that_ends_three_replicas_are_not_repeated(pool_of):
    stopped = pool_of(Replica([LOST]))
    stopped._stopped.set()
    with pytest.raises(WorkerLostError):
        answer_of(stopped)  # it does not wait for a replica that never comes
    for scripts, num_left in (([FIRST, LOST], [LAST]), 1), (([LOST], [LOST], [LOST], [LAST]), 1):
        replica = Replica(*scripts)
        with pytest.raises(WorkerLostError):
            answer_of(pool_of(replica))
        assert len(replica.scripts) == num_left


def test_a_new_request_is_refused_if_all_replicas_are_full_none_is_ready_or_the_server_is_stopping(pool_of, tmp_path):
    full = Replica([LAST], has_room=False, num_open=12)
    with pytest.raises(OverloadError, match="24 open requests") as refused:
        answer_of(pool_of(full, full))
    assert (refused.value.http_status, refused.value.retry_after) == (429, 4), "the replica's work takes 3.5 s"
    with pytest.raises(WorkerLostError, match="no replica of this model is ready"):
        answer_of(pool_of())
    assert answer_of(pool_of(Replica([REFUSED]))) == [b"full"], "a refusal of the replica itself is passed on"
    (tmp_path / ALL).touch()
    with pytest.raises(ClosingError):
        answer_of(pool_of(Replica([LAST])))
    names = {"model": "m", "version": "1.0"}
    refusals = [
        total(tmp_path, "zoo_requests_refused_total", error=error, **names)
        for error in ("OverloadError", "WorkerLostError", "ClosingError")
    ]
    assert refusals == [1, 1, 1] and total(tmp_path, "zoo_open_requests", **names) == 0


class Method:
    """A method of an actor: each call gives the next of its results."""

    def __init__(self, *results):
        self.results, self.num_calls = list(results), 0

    def remote(self, *_):
        self.num_calls += 1
        return self.results.pop(0)


async def failing(error):
    raise error


def test_a_replica_that_was_unavailable_for_a_moment_gets_requests_again(monkeypatch):
    monkeypatch.setattr(ray, "wait", lambda references, timeout: (references, []))
    monkeypatch.setattr(ray, "get", lambda reference: reference)
    loaded, pulse = Loaded(pid=1, max_open_requests=12, description={}), Replica.pulse
    unavailable = ray.exceptions.ActorUnavailableError("the network", None)
    for error, num_ended in ((unavailable, 1), (ray.exceptions.ActorDiedError(), 0)):
        answer, forget, pulses = Method(failing(error)), Method(None), Method(pulse, pulse, pulse)
        handle = ReplicaHandle(0, SimpleNamespace(answer=answer, forget=forget, pulse=pulses), loaded)
        assert handle.look() and handle.is_ready

        async def ask(handle=handle):
            return [part async for part in handle.replies(ROW)]

        with pytest.raises(WorkerLostError):
            asyncio.run(ask())
        assert forget.num_calls == num_ended, "a replica that runs on makes no more draws for the request"
        assert not handle.is_ready and handle.num_open == 0
        assert handle.look() and not handle.is_ready, "the report may be older than the failure"
        assert handle.look() and handle.is_ready, "the report is newer: Ray itself says whether the replica has ended"


def test_replicas_are_started_before_there_is_an_archive_and_ended_if_there_is_none(tmp_path, monkeypatch):
    ended, launch = [], NothingToLoad()
    monkeypatch.setattr(ray, "kill", ended.append)
    with closing(ReplicaMetrics(tmp_path)) as metrics:
        options = {"counts": None, "bounds": Bounds(2, 3), "signs": tmp_path, "metrics": metrics, "logs": None}
        pool = ReplicaPool(CheckpointSource(model="m"), launch=launch, **options)
        with pytest.raises(ServerError, match="nothing to load"):
            pool.wait_until_loaded()
        pool.stop()
    assert launch.calls == ["replica", "replica", "adopt"] and sorted(ended) == ["actor 1", "actor 2"]
    assert not ray.is_initialized(), "a call of Ray would have started a cluster"


def test_replicas_are_added_while_their_work_takes_too_long_and_given_up_one_by_one_when_it_does_not():
    scaling, num, seen = Scaling(Bounds(1, 3)), 1, []
    for now in [step / 2 for step in range(120)]:
        work = 30.0 if 5 <= now < 10 else 0.0
        num = scaling.target(num, seconds_of_work=work, now=now)
        seen.append(num)
    assert seen[:11] == [1] * 11 and seen[11:18] == [3] * 7, "one second of need starts both"
    changes = [(now / 2, after) for now, (before, after) in enumerate(itertools.pairwise(seen)) if before != after]
    assert [num for _, num in changes] == [3, 2, 1] and changes[1][0] >= 29 and changes[2][0] - changes[1][0] >= 20


def test_a_short_burst_and_a_steady_load_change_nothing_and_new_bounds_hold_at_once():
    scaling = Scaling(Bounds(1, 3))
    work = [30.0 if step % 4 == 0 else 1.0 for step in range(100)]
    assert {scaling.target(1, seconds_of_work=each, now=step / 2) for step, each in enumerate(work)} == {1}
    assert {scaling.target(2, seconds_of_work=3.0, now=now) for now in range(100, 200)} == {2}
    scaling.bounds = Bounds(3, 4)
    assert scaling.target(2, seconds_of_work=0.0, now=200.0) == 3
    with pytest.raises(RequestError, match="at most --max-replicas, got 3 and 2"):
        Bounds(3, 2)


def test_the_sums_of_the_metrics_keep_what_replicas_had_counted_before_they_ended(tmp_path):
    own, folder = tmp_path / "replica.db", tmp_path / "kept"
    folder.mkdir()
    labels = ["model", "version"]
    key = mmap_key("zoo_draws", "zoo_draws_total", labels, ["m", "1.0"], "Draws.")
    with closing(MmapedDict(str(own))) as counter, closing(ReplicaMetrics(folder)) as metrics:

        def report(replica, value):
            counter.write_value(key, value, time.time())
            content = own.read_bytes()
            metrics.keep(replica, {"counter": content[: int.from_bytes(content[:4], "little")]})

        report("a", 5.0)
        report("a", 7.0)
        report("b", 2.0)
        assert total(folder, "zoo_draws_total", model="m") == 9
        metrics.retire("a")
        report("c", 1.0)
        metrics.retire("c")
        metrics.retire("never-reported")
        assert total(folder, "zoo_draws_total", model="m") == 10
        metrics.set_open("m", "1.0", 4)
        assert total(folder, "zoo_open_requests", model="m", version="1.0") == 4
        assert len(list(folder.iterdir())) == 4, "no file per replica that has ended"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--engine", "asgi", "--replicas", 2), 2, "--replicas needs --engine ray"),
        (("--ray-address", "auto"), 2, "--ray-address needs --engine ray"),
        (("--engine", "ray", "--replicas", 3, "--max-replicas", 2), 2, "got 3 and 2"),
        (("--engine", "ray", "--device", "cuda:1"), 2, "gives out the GPUs"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence_before_anything_runs(zoo_command, words, code, said):
    done = zoo_command("serve", "model", "--port", 0, *words)
    assert (done.code, said in done.err) == (code, True), done.err
    assert len([line for line in done.err.splitlines() if line.startswith("zoo: ")]) == 1


def test_without_the_extra_the_command_says_what_to_install(zoo_command, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    done = zoo_command("serve", "model", "--engine", "ray", "--port", 0)
    assert done.code == 1 and "pip install 'certified-zoo[ray]'" in done.err
