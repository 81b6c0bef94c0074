"""Certification, evaluation and a study as tasks of a real Ray cluster, one for this file, against one process.

The file is in this folder because the fixtures of the two-run study are.
"""

import json
import os
import signal
import threading
import time
from dataclasses import replace
from types import SimpleNamespace

import psutil
import pytest
import ray

from tests.training.study.conftest import TWO_RUNS
from training.evaluation.pieces import _images_per_piece
from training.ray_tasks import RayTasks, ray_tasks
from training.study.folder import StudyFolder
from training.study.plan import plan_runs
from zoo.errors import BackendError, RequestError, ZooError
from zoo.host.ray_cluster import ray_cluster, require_reachable
from zoo.results.log import read_log
from zoo.smoothing import SamplingOptions, SmoothingSpec

ON_RAY = ["--engine", "ray", "--workers", 2]
NUM_IMAGES = 60


@pytest.fixture(scope="module")
def cluster():
    """Two processors; the commands find this process connected. All of its processes end with the block."""
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    with ray_cluster(num_cpus=2):
        started = [child for child in psutil.Process().children(recursive=True) if child.pid not in before]
        assert started
        yield
    assert not any(process.is_running() for process in started) and not ray.is_initialized()


def workers_at_work():
    children = psutil.Process().children(recursive=True)
    return [child for child in children if child.cmdline() and child.cmdline()[0].startswith("ray::_compute")]


def kill_one_worker(log, killed):
    """Kills, as `kill -9` does, a worker at work as soon as the log has rows; the process and the rows there were."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not killed:
        if log.exists() and len(log.read_text().splitlines()) > 1 and (workers := workers_at_work()):
            workers[-1].send_signal(signal.SIGKILL)
            killed.append((workers[-1].pid, len(log.read_text().splitlines()) - 1))
        time.sleep(0.01)


def test_sixty_rows_are_those_of_one_process_though_a_worker_is_killed(
    cluster, digits_checkpoint, zoo_command, tmp_path
):
    words = ["certify", digits_checkpoint.path, "--task", "digits", "--max", NUM_IMAGES, "--n", 500]
    words += ["--device", "cpu", "--json", "--output"]
    shared, alone, killed = tmp_path / "shared.tsv", tmp_path / "alone.tsv", []
    killer = threading.Thread(target=kill_one_worker, args=(shared, killed))
    killer.start()
    done = zoo_command(*words, shared, *ON_RAY)
    killer.join()
    assert done.code == 0, done.err
    [(_, rows_before)] = killed
    assert 0 < rows_before < NUM_IMAGES

    expected = zoo_command(*words, alone)
    rows = [replace(row, time="") for row in read_log(shared)]
    assert len(rows) == NUM_IMAGES and rows == [replace(row, time="") for row in read_log(alone)]
    assert (
        json.loads(done.out)[0]["average_certified_radius"] == json.loads(expected.out)[0]["average_certified_radius"]
    )


def test_a_log_that_one_process_began_is_resumed(cluster, digits_checkpoint, zoo_command, tmp_path):
    words = ["certify", digits_checkpoint.path, "--task", "digits", "--n", 100, "--device", "cpu", "--max"]
    log, alone = tmp_path / "log.tsv", tmp_path / "alone.tsv"
    assert zoo_command(*words, 5, "--output", log).code == 0
    begun = log.read_text()
    done = zoo_command(*words, 12, "--output", log, *ON_RAY)
    assert done.code == 0, done.err
    assert zoo_command(*words, 12, "--output", alone).code == 0
    assert log.read_text().startswith(begun)
    assert [replace(row, time="") for row in read_log(log)] == [replace(row, time="") for row in read_log(alone)]


def test_an_attack_finds_the_same_on_workers(cluster, digits_checkpoint, zoo_command, tmp_path):
    words = ["evaluate", digits_checkpoint.path, "--task", "digits", "--max", 25, "--batch-size", 10]
    words += ["--attack", "pgd", "--attack-steps", 2, "--device", "cpu", "--json"]
    shared, alone = tmp_path / "shared.tsv", tmp_path / "alone.tsv"
    expected, done = zoo_command(*words, "--output", alone), zoo_command(*words, "--output", shared, *ON_RAY)
    unlogged = zoo_command(*words, *ON_RAY)
    assert (expected.code, done.code) == (0, 0), done.err
    assert shared.read_text() == alone.read_text() and len(shared.read_text().splitlines()) == 26
    assert done.out == expected.out == unlogged.out


def test_a_study_s_runs_have_the_results_of_one_process(cluster, finished, two_runs, zoo_command, tmp_path):
    done = zoo_command(
        *("study", "run", TWO_RUNS, "--folder", tmp_path / "study", "--data-dir", tmp_path, "--device", "cpu"), *ON_RAY
    )
    assert done.code == 0, done.err
    for run in plan_runs(two_runs):
        ours, theirs = StudyFolder(tmp_path / "study").result(run), finished[0].result(run)
        assert (ours.weights_sha256, ours.empirical) == (theirs.weights_sha256, theirs.empirical)
        assert ours.certifications == theirs.certifications
        assert f"{run.id}: " in done.err
    again = zoo_command("study", "run", TWO_RUNS, "--folder", tmp_path / "study", "--json", "--device", "cpu", *ON_RAY)
    assert json.loads(again.out)["done"] == []


@pytest.mark.parametrize(
    ("n", "num_images", "expected"), [(1000, 60, 8), (1000, 500, 16), (100_000, 500, 1), (50, 3, 1)]
)
def test_a_piece_has_few_images_if_each_has_many_draws(n, num_images, expected):
    smoothing = SmoothingSpec(sigma=0.5, n=n, n0=1, alpha=0.05)
    run = SimpleNamespace(smoothing=smoothing)
    assert _images_per_piece(run, SamplingOptions(batch_size=1024), num_images=num_images, num_workers=2) == expected


def test_a_running_cluster_answers_at_its_address(cluster):
    require_reachable(ray.get_runtime_context().gcs_address)


def test_a_worker_has_the_priority_of_this_process(cluster):
    """By default, Ray gives a busy neighbour 28 times the time, and a server of replicas seems to hang."""

    def priority():
        return os.getpriority(os.PRIO_PROCESS, 0)

    assert ray.get(ray.remote(num_cpus=0)(priority).remote()) == priority()


def test_an_error_of_a_piece_is_raised_with_its_message_and_kind(cluster):
    def fail(opened, piece):
        raise BackendError("no such device") if piece else RequestError("no such name")

    for piece, kind, message in [(1, ZooError, "no such device"), (0, RequestError, "no such name")]:
        pieces = iter([piece])
        with pytest.raises(kind, match=f"^{message}$"):
            list(RayTasks(2, 1, 0).results(len, "material", fail, lambda pieces=pieces: next(pieces, None)))


def test_a_device_that_no_machine_has_is_an_error(cluster):
    assert ray_tasks(None, device_type="cpu") == RayTasks(2, 1, 0)
    assert ray_tasks(1, device_type="cpu") == RayTasks(1, 2, 0)
    if not ray.cluster_resources().get("GPU"):
        with pytest.raises(ZooError, match="no machine of the Ray cluster has a GPU"):
            ray_tasks(None, device_type="cuda")


def test_a_piece_that_ends_each_of_its_workers_is_given_up(cluster, monkeypatch):
    monkeypatch.setattr("training.ray_tasks.MAX_RETRIES", 0)
    pieces = iter([signal.SIGKILL])
    with pytest.raises(ZooError, match=r"workers ended 1 times at the same piece of work .*fewer --workers"):
        list(
            RayTasks(2, 1, 0).results(
                len, "", lambda _, number: os.kill(os.getpid(), number), lambda: next(pieces, None)
            )
        )
