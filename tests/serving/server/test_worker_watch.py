"""Deaths of workers, told apart from workers that TorchServe ends on purpose."""

import pytest

from serving.server.health import health_of
from serving.server.management import ServedVersion, Worker
from serving.server.worker_watch import WorkerWatch


def served(*workers, version="1.0", name="m", is_default=True):
    """A version with the given workers `(id, process id, whether it is ready)`."""
    found = tuple(Worker(id=id, pid=pid, is_ready=is_ready) for id, pid, is_ready in workers)
    num_ready = sum(worker.is_ready for worker in found)
    return ServedVersion(
        name=name, version=version, archive="m.mar", is_default=is_default,
        num_workers=len(found), num_ready=num_ready, num_waiting=0, workers=found,
    )  # fmt: skip


def deaths(*descriptions):
    """The process ids that died, by description, and the number of loaded workers that died."""
    watch = WorkerWatch()
    died = [[death.pid for death in watch.observe(each, now=float(now))] for now, each in enumerate(descriptions)]
    return died, sum(watch.num_deaths.values())


@pytest.mark.parametrize(
    ("descriptions", "expected"),
    [
        # killed and seen while it is gone, then replaced: one death
        ([[("9000", 10, True)], [("9000", 10, False)], [("9000", 10, False)], [("9000", 11, False)]],
         ([[], [10], [], []], 1)),
        # killed and replaced between two looks
        ([[("9000", 10, True)], [("9000", 11, True)]], ([[], [10]], 1)),
        # its replacement dies as well, while it loads
        ([[("9000", 10, True)], [("9000", 11, False)], [("9000", 12, False)]], ([[], [10], [11]], 1)),
        # never ready: dies while it loads at the start; -1 is TorchServe's word for no process yet
        ([[("9000", -1, False)], [("9000", 10, False)], [("9000", 11, False)]], ([[], [], [10]], 0)),
        # scaled down and up on purpose
        ([[("9000", 10, True)], [], [("9001", 11, False)], [("9001", 11, True)]], ([[], [], [], []], 0)),
        # one of two
        ([[("9000", 10, True), ("9001", 20, True)], [("9000", 10, True), ("9001", 20, False)]], ([[], [20]], 1)),
    ],
)  # fmt: skip
def test_a_death_is_a_process_that_is_gone_while_its_worker_stays(descriptions, expected):
    assert deaths(*([served(*workers)] for workers in descriptions)) == expected


def test_a_version_that_was_removed_has_not_died():
    first, second = served(("9000", 10, True)), served(("9001", 11, True), version="2.0", is_default=False)
    assert deaths([first, second], [first]) == ([[], []], 0)


def test_a_version_that_lost_all_its_workers_is_told_with_the_number_it_had():
    watch = WorkerWatch()
    watch.observe([served(("9000", 10, True), ("9001", 11, True))], now=0.0)
    assert watch.workerless() == []
    watch.observe([served()], now=1.0)
    ((version, num_workers),) = watch.workerless()
    assert (version.name, num_workers) == ("m", 2)
    new = served(version="2.0", is_default=False)  # registered, and its first worker has not been created yet
    watch.observe([served(("9000", 10, True)), new], now=2.0)
    assert watch.workerless() == []


def test_a_version_is_overdue_when_descriptions_show_so_not_when_there_are_none():
    watch = WorkerWatch()
    watch.observe([served(("9000", 10, True))], now=0.0)
    assert watch.overdue(seconds=60) == []  # however late it is: the management has not answered since
    watch.observe([served(("9000", 10, False))], now=60.0)
    assert watch.overdue(seconds=60) == []
    watch.observe([served(("9000", 12, False))], now=60.5)
    assert [version.name for version in watch.overdue(seconds=60)] == ["m"]


def test_a_server_is_ready_while_another_version_or_another_model_is_loaded_for_the_first_time():
    watch = WorkerWatch()
    loading = [served(("9000", 10, False))]
    watch.observe(loading, now=0.0)
    health = health_of(loading, is_loading=watch.is_loading)
    assert not health.is_ready and health.reason == "no worker is ready for m 1.0"
    ready = served(("9000", 10, True))
    for new in (served(version="2.0", is_default=False), served(("9001", 11, False), name="other")):
        watch.observe([ready, new], now=1.0)
        assert health_of([ready, new], is_loading=watch.is_loading).is_ready
    answered = [ready, served(("9001", 11, True), name="other")]
    watch.observe(answered, now=2.0)
    lost = [ready, served(("9001", 11, False), name="other")]
    watch.observe(lost, now=3.0)
    assert health_of(lost, is_loading=watch.is_loading).reason == "no worker is ready for other 1.0"
