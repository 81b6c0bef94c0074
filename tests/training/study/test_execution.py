"""A miniature of two runs: done once, kept whatever fails beside it, gone on with after a kill."""

import json
import shutil

import pytest

from tests.training.study.conftest import TWO_RUNS
from training.study.cost import passes_of
from training.study.data import labels_of
from training.study.execution import Shard
from training.study.folder import StudyFolder
from training.study.plan import plan_runs
from training.tasks import open_task
from zoo.errors import DivergenceError, RequestError
from zoo.results.log import read_log

SOURCE, TARGET = "pretraining.standard.s0", "certified.even.consistency.from-standard.s0"


@pytest.fixture
def copied(finished, tmp_path):
    """The finished study in a folder that a test may change."""
    return StudyFolder(shutil.copytree(finished[0].path, tmp_path / "study"))


def contents(folder):
    return {path: path.read_bytes() for path in sorted((folder.path / "results").iterdir())}


def test_both_runs_are_done_and_a_result_says_what_its_numbers_depend_on(finished, two_runs):
    folder, outcome = finished
    source, target = plan_runs(two_runs)
    assert outcome.done == (SOURCE, TARGET) and not (outcome.failed or outcome.waiting or outcome.left)
    assert [folder.state(run) for run in (source, target)] == ["done", "done"]
    result = folder.result(target)
    assert result.parent_sha256 == folder.result(source).weights_sha256 and result.num_train_images == 12
    smoothed, clean = result.certifications
    assert (smoothed.sigma, smoothed.n0, smoothed.n, smoothed.alpha, smoothed.skip) == (0.25, 10, 50, 0.05, 20)
    assert smoothed.bound == "simultaneous" and result.request["evaluation"]["certification"]["bound"] == "simultaneous"
    assert {row.provenance.bound for row in read_log(folder.log_path(target, 0.25))} == {"simultaneous"}
    assert (clean.sigma, clean.n, clean.average_certified_radius) == (0, 1, 0)
    assert result.empirical.attack.describe().startswith("pgd") and result.empirical.num_images == 14
    assert folder.result(source).empirical.noise[0].sigma == 0.1 and not folder.result(source).certifications
    assert {"torch", "certified-zoo"} <= result.versions.keys() and result.seconds.total > 0


def test_the_rows_give_the_result_s_radius(finished, two_runs):
    folder, _ = finished
    target = plan_runs(two_runs)[1]
    rows = read_log(folder.log_path(target, 0.25))
    certified = folder.result(target).certification_at(0.25)
    assert certified.average_certified_radius == pytest.approx(
        sum(row.radius for row in rows if row.correct) / len(rows)
    )


def test_running_again_redoes_nothing_even_without_the_last_checkpoint(copied, two_runs, start, monkeypatch):
    monkeypatch.setattr(
        "training.study.execution.execute_run", lambda *_, **__: pytest.fail("a finished run was redone")
    )
    shutil.rmtree(copied.checkpoint_path(TARGET))
    before = contents(copied)
    assert start(two_runs, copied).done == () and contents(copied) == before


def test_a_network_that_others_start_from_is_trained_again_only_when_one_needs_it(copied, two_runs, start):
    weights = copied.result(plan_runs(two_runs)[0]).weights_sha256
    shutil.rmtree(copied.checkpoint_path(SOURCE))
    assert start(two_runs, copied).done == ()
    copied.result_path(plan_runs(two_runs)[1]).unlink()
    assert start(two_runs, copied).done == (SOURCE, TARGET)
    assert copied.result(plan_runs(two_runs)[0]).weights_sha256 == weights


def test_a_failed_run_is_recorded_and_the_others_are_kept(two_runs, start, tmp_path, monkeypatch):
    other = two_runs.starting_points["standard"].model_copy(update={"assignments": ("freeze=all-but-head",)})
    study = two_runs.model_copy(update={"starting_points": {"bad": other, **two_runs.starting_points}})
    folder = StudyFolder(tmp_path / "study")
    outcome = start(study, folder)
    bad = plan_runs(study)[0]
    assert outcome.done == (SOURCE, TARGET) and list(outcome.failed) == [bad.id] == ["pretraining.bad.s0"]
    assert folder.state(bad) == "failed" and "random weights are untrained" in folder.failure(bad).message
    assert "RecipeError" in folder.failure(bad).traceback
    monkeypatch.setattr("training.study.execution.execute_run", lambda *_, **__: pytest.fail("a run was tried again"))
    assert start(study, folder).done == ()


def test_a_failed_run_is_tried_again_when_asked_and_what_starts_from_it_waits(two_runs, start, tmp_path, monkeypatch):
    folder = StudyFolder(tmp_path / "study")

    def diverging(run, *_, **__):
        raise DivergenceError("the loss is nan")

    with monkeypatch.context() as patch:
        patch.setattr("training.study.execution.execute_run", diverging)
        outcome = start(two_runs, folder)
    assert outcome.failed == {SOURCE: "the loss is nan"} and outcome.waiting == {TARGET: SOURCE}
    assert start(two_runs, folder).done == ()
    assert start(two_runs, folder, shard=Shard(retries_failed=True)).done == (SOURCE, TARGET)
    assert not folder.has_failed(plan_runs(two_runs)[0])


def test_a_run_that_was_killed_goes_on_and_ends_with_the_same_numbers(copied, finished, two_runs, start, monkeypatch):
    """Killed while it certifies: weights and the answers under attack are kept, and so is every finished row."""
    target = plan_runs(two_runs)[1]
    copied.result_path(target).unlink()
    log = copied.log_path(target, 0.25)
    log.write_text("".join(log.read_text().splitlines(keepends=True)[:3]) + "40\t2")
    monkeypatch.setattr("training.trainer._Loop.run_round", lambda *_: pytest.fail("trained again"))
    monkeypatch.setattr("training.evaluation.attacks.pgd", lambda *_, **__: pytest.fail("attacked again"))
    assert start(two_runs, copied).done == (TARGET,)
    again, once = copied.result(target), finished[0].result(target)
    assert again.was_resumed and not once.was_resumed
    unlike = {"seconds", "was_resumed", "finished"}
    assert again.model_dump(exclude=unlike) == once.model_dump(exclude=unlike)


def test_two_processes_never_take_the_same_run(two_runs, start, tmp_path, monkeypatch):
    folder = StudyFolder(tmp_path / "study")
    source = plan_runs(two_runs)[0]
    monkeypatch.setattr("training.study.execution.execute_run", lambda *_, **__: pytest.fail("another process has it"))
    with folder.held(source) as is_free:
        assert is_free and folder.state(source) == "running"
        outcome = start(two_runs, folder)
    assert outcome.left == (SOURCE,) and outcome.waiting == {TARGET: SOURCE}
    assert folder.state(source) == "missing"


def test_jobs_of_an_array_take_every_nth_run(two_runs, start, copied, tmp_path):
    runs = plan_runs(two_runs)
    assert [run.id for run in Shard(number=2, of=2).runs_of(runs)] == [TARGET]
    waiting = start(two_runs, StudyFolder(tmp_path / "new"), shard=Shard(number=2, of=2))
    assert (waiting.done, waiting.waiting) == ((), {TARGET: SOURCE})
    copied.result_path(runs[1]).unlink()
    assert start(two_runs, copied, shard=Shard(number=1, of=2)).done == ()
    assert start(two_runs, copied, shard=Shard(number=2, of=2)).done == (TARGET,)
    for number, of in ((0, 2), (3, 2)):
        with pytest.raises(RequestError, match=f"with I from 1 to N, got {number}/{of}"):
            Shard(number=number, of=of)


def test_no_run_is_begun_after_its_time(two_runs, start, tmp_path):
    outcome = start(two_runs, StudyFolder(tmp_path / "study"), shard=Shard(max_hours=0.0))
    assert outcome.done == () and outcome.left == (SOURCE,)


def test_a_result_of_another_study_file_is_refused_not_believed(copied, two_runs, start):
    other = two_runs.model_copy(update={"assignments": (*two_runs.assignments, "epochs=2")})
    assert {copied.state(run) for run in plan_runs(other)} == {"changed"}
    with pytest.raises(RequestError, match=r"pretraining.standard.s0.json was requested by another.*\(recipe differ\)"):
        start(other, copied)


def test_the_commands_plan_and_run_and_say_what_failed(zoo_command, copied, two_runs):
    planned = json.loads(zoo_command("study", "plan", TWO_RUNS, "--folder", copied.path, "--json").out)
    assert planned["num_runs"] == {"done": 2} and planned["estimated_seconds_left"] == 0
    assert planned["missing"] == {} and planned["machine"] is None
    assert [(run["id"], run["depends_on"]) for run in planned["runs"]] == [(SOURCE, []), (TARGET, [SOURCE])]
    done = zoo_command("study", "run", TWO_RUNS, "--folder", copied.path, "--run", TARGET, "--json")
    assert done.code == 0 and json.loads(done.out)["done"] == []
    assert zoo_command("study", "run", TWO_RUNS, "--folder", copied.path, "--only", "2").code == 2
    assert "unknown run 'x'" in zoo_command("study", "run", TWO_RUNS, "--folder", copied.path, "--run", "x").err
    copied.result_path(plan_runs(two_runs)[1]).unlink()
    copied.log_path(plan_runs(two_runs)[1], 0.25).write_text("nonsense\n")
    failed = zoo_command("study", "run", TWO_RUNS, "--folder", copied.path)
    assert failed.code == 1 and "1 runs failed" in failed.err and "--retry-failed" in failed.err


def test_the_time_of_a_run_is_estimated_from_its_forward_passes(two_runs, tmp_path):
    source, target = plan_runs(two_runs)
    task = open_task(target.task, data_dir=tmp_path)
    num_test = len(task.test)
    assert passes_of(source, labels_of(open_task(source.task, data_dir=tmp_path))) == {"standard": 12 * 3}
    # Two noisy copies, forward and backward; attack steps on every 8th image; n0 + n draws for every 20th, once: sigma
    # 0 takes none.
    assert passes_of(target, labels_of(task)) == {
        "consistency": 12 * 2 * 3,
        "attack": -(-num_test // 8) * 2 * 2,
        "certify": -(-num_test // 20) * 60,
    }
