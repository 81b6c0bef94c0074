"""`zoo search`: the grid before it runs, the trials, and what is left of them after a cut-off."""

import json
import shlex
import sys
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
import torch
from filelock import FileLock
from rich.console import Console

from training import search_folder
from training.grid import grid_points, parse_grid, require_valid_grid
from training.metric_logger import read_log
from training.objectives.simclr import SimClr
from training.objectives.standard import Standard
from training.recipe import TrainingRecipe, override
from training.recipes import quick
from training.search import Search, search
from training.tasks import open_task
from zoo.checkpoints.checkpoint import open_checkpoint
from zoo.errors import CheckpointError, RecipeError

RECIPE = TrainingRecipe(objective=Standard())
SMALL = ["--architecture", "resnet10-quarter", "--limit-per-class", 4]
STANDARD = ["search", "--task", "digits", "--objective", "standard", *SMALL]


def test_a_grid_is_read_field_by_field_and_its_points_are_all_combinations():
    grid = parse_grid(["optimizer.lr=0.1, 0.01", "batch_size=32"])
    assert grid == {"optimizer.lr": ("0.1", "0.01"), "batch_size": ("32",)}
    assert list(grid_points(grid)) == [
        {"optimizer.lr": "0.1", "batch_size": "32"},
        {"optimizer.lr": "0.01", "batch_size": "32"},
    ]


@pytest.mark.parametrize(
    ("axes", "said"),
    [
        (["optimizer.lr"], "takes key=value,value,..., for example optimizer.lr=0.1,0.01; got 'optimizer.lr'"),
        (["optimizer.lr=0.1,"], "takes key=value"),
        (["optimizer.lr=0.1", "optimizer.lr=0.2"], "names optimizer.lr twice"),
        (["optimizer.lr=0.1,1e-1"], "--grid optimizer.lr=0.1,1e-1 contains a value twice"),
        (["optimizer.rate=0.1"], "no field 'optimizer.rate'; Sgd has: lr, momentum"),
        (["optimizer.lr=0.1,fast"], "optimizer.lr='fast'"),
        (["batch_size=64,1"], "batch_size must be at least 2"),
        (["batch_size=8,2", "accumulation=1,4"], "accumulation=4; got 2"),  # one of four combinations
        (["objective.beta=1"], "Standard has: none"),
        (["validation_share=0.1,0.2"], "changes what validation accuracy measures"),
        (["limit_per_class=10,20"], "changes what validation accuracy measures"),
    ],
)
def test_a_grid_that_holds_nonsense_is_refused_by_name(axes, said):
    with pytest.raises(RecipeError) as refused:
        require_valid_grid(parse_grid(axes), RECIPE)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        (override(RECIPE, ["validation_share=0"]), "validation_share must be positive"),
        (override(RECIPE, ["limit_per_class=1"]), "limit_per_class=1 leaves none"),
        (quick(SimClr()), "SimClr learns no classes"),
    ],
)
def test_what_has_no_validation_accuracy_cannot_be_searched(recipe, said):
    with pytest.raises(RecipeError, match=said):
        require_valid_grid({"optimizer.lr": ("0.1",)}, recipe)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--grid", "optimizer.rate=1"], "no field 'optimizer.rate'"),
        ([], "the recipe quick has no grid, unlike paper and paper-finetune: give one with --grid"),
        (["--recipe", "cifar10"], "the recipe cifar10 has no grid"),
        (["--recipe", "paper", "--set", "validation_share=0"], "validation_share must be positive"),
    ],
)
def test_a_wrong_request_ends_with_one_sentence_and_makes_nothing(words, said, zoo_command, tmp_path):
    done = zoo_command(*STANDARD, *words, "--output", tmp_path / "s")
    assert (done.code, done.out) == (2, "") and said in done.err and not (tmp_path / "s").exists()


def test_without_optuna_the_command_says_what_to_install(zoo_command, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    done = zoo_command(*STANDARD, "--grid", "optimizer.lr=0.1", "--output", tmp_path / "s")
    assert (
        done.code == 2 and done.err == "zoo: zoo search needs the package optuna: pip install 'certified-zoo[search]'\n"
    )


def test_torchrun_is_refused(zoo_command, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    done = zoo_command(*STANDARD, "--grid", "optimizer.lr=0.1", "--output", tmp_path / "s")
    assert done.code == 2 and "start it without torchrun" in done.err


def test_a_search_ranks_its_trials_and_names_the_winner_with_the_command_that_trains_it_again(zoo_command, tmp_path):
    words = ["search", "--task", "digits", "--objective", "gaussian", *SMALL, "--set", "epochs=1"]
    words += ["--grid", "optimizer.lr=0.02,0.002", "--grid", "batch_size=16", "--output", tmp_path / "s"]
    done = zoo_command(*words, "--json")
    assert done.code == 0
    told = json.loads(done.out)
    assert [trial["rank"] for trial in told["trials"]] == [1, 2] and told["best"] == told["trials"][0]
    assert {trial["parameters"]["optimizer.lr"] for trial in told["trials"]} == {0.02, 0.002}
    accuracies = [trial["validation_accuracy"] for trial in told["trials"]]
    assert accuracies == sorted(accuracies, reverse=True)
    for trial in told["trials"]:
        recipe = open_checkpoint(Path(trial["checkpoint"])).spec.certified.recipe
        assert (recipe["optimizer"]["lr"], recipe["batch_size"]) == (trial["parameters"]["optimizer.lr"], 16)
    assert "A new study" not in done.err and "optuna" not in done.err.lower()

    best = json.loads((tmp_path / "s" / "best.json").read_text())
    assert best["checkpoint"] == told["best"]["checkpoint"] and best["parameters"] == told["best"]["parameters"]
    again = zoo_command(*shlex.split(best["train_again"])[1:], "--json")
    assert again.code == 0
    assert json.loads(again.out)["sha256"] == open_checkpoint(Path(best["checkpoint"])).weights_sha256

    table = zoo_command(*words)  # finished: nothing is trained again
    assert table.code == 0 and "training" not in table.err and "rank" in table.out and "trial-000" in table.out


def test_a_search_cut_off_in_a_trial_goes_on_inside_it_and_ends_as_if_never_cut(zoo_command, tmp_path, monkeypatch):
    words = [*STANDARD, "--set", "epochs=2", "--grid", "optimizer.lr=0.02,0.01,0.005"]
    assert zoo_command(*words, "--output", tmp_path / "whole").code == 0

    calls = []
    loss = Standard.__call__

    def interrupted(self, *inputs, **named):
        calls.append(self)
        if len(calls) == 4:  # one step an epoch: the second epoch of the second trial
            raise KeyboardInterrupt
        return loss(self, *inputs, **named)

    monkeypatch.setattr(Standard, "__call__", interrupted)
    done = zoo_command(*words, "--output", tmp_path / "cut")
    assert (
        done.code == 130
        and f"{tmp_path / 'cut'} contains the finished trials; run the same command to resume" in done.err
    )
    assert not (tmp_path / "cut" / "trial-002").exists() and not (tmp_path / "cut" / "best.json").exists()
    assert zoo_command(*words, "--output", tmp_path / "cut").code == 0
    assert len(calls) == 4 + 1 + 2  # the rest of the second trial, and the third

    for name in ("trial-000", "trial-001", "trial-002"):
        hashes = [open_checkpoint(tmp_path / where / name).weights_sha256 for where in ("whole", "cut")]
        assert hashes[0] == hashes[1]


def test_a_trial_that_diverges_is_recorded_and_the_others_go_on(zoo_command, tmp_path):
    words = [*STANDARD, "--set", "epochs=2", "--grid", "optimizer.lr=1e30,0.02", "--output", tmp_path / "s", "--json"]
    done = zoo_command(*words)
    best, failed = json.loads(done.out)["trials"]
    assert done.code == 0 and best["parameters"] == {"optimizer.lr": 0.02} and best["error"] is None
    assert (failed["rank"], failed["validation_accuracy"], failed["epochs"]) == (None, None, None)
    assert "is nan at step 1" in failed["error"] or "is inf at step 1" in failed["error"]
    again = zoo_command(*words)
    assert again.out == done.out and "training" not in again.err  # a failed trial is not run again


def test_a_search_of_which_every_trial_fails_fails(zoo_command, tmp_path):
    words = [*STANDARD, "--set", "epochs=2", "--grid", "optimizer.lr=1e30", "--output", tmp_path / "s"]
    done = zoo_command(*words)
    assert done.code == 1 and "failed" in done.out and "all 1 trials failed; trial-000: the" in done.err
    assert not (tmp_path / "s" / "best.json").exists()


class Unreadable:
    """Images of which nothing may be asked."""

    def __getattr__(self, name):
        raise AssertionError("the test set was read")

    def __getitem__(self, index):
        raise AssertionError("the test set was read")


@pytest.fixture
def plan(tmp_path):
    recipe = override(RECIPE, ["architecture=resnet10-quarter", "epochs=2", "limit_per_class=4", "batch_size=32"])
    task = replace(open_task("digits", data_dir=tmp_path), test=Unreadable())
    grid = {"optimizer.lr": ("0.02", "0.01")}
    return Search(task=task, recipe=recipe, grid=grid, seed=0, output=tmp_path / "s", train_words=("zoo", "train"))


def run(plan):
    return search(plan, device=torch.device("cpu"), console=Console(quiet=True))


def test_the_choice_is_by_the_validation_accuracy_of_the_kept_weights_and_never_reads_the_test_set(plan):
    for result in run(plan):
        measured = [line for line in read_log(result.checkpoint / ".run") if line["kind"] == "validation"]
        assert [line["epochs"] for line in measured] == [1, 2]
        assert result.validation_accuracy == measured[-1]["accuracy_under_noise"]
        assert result.epochs == open_checkpoint(result.checkpoint).spec.certified.epochs == 2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"grid": {"optimizer.lr": ("0.02", "0.03")}},
            r"grid.optimizer.lr was \['0.02', '0.01'\], is \['0.02', '0.03'\]",
        ),
        ({"seed": 1}, "seed was 0, is 1"),
        ({"recipe": override(RECIPE, ["epochs=1"])}, "recipe.epochs was 2, is 1"),
    ],
)
def test_another_search_in_the_same_folder_is_refused(change, said, plan, monkeypatch):
    monkeypatch.setattr("training.search.train", lambda *_, **__: pytest.fail("nothing may run"))
    with pytest.raises(pytest.fail.Exception):
        run(plan)
    with pytest.raises(RecipeError, match=said):
        run(replace(plan, **change))


def test_a_second_process_is_kept_out(zoo_command, tmp_path):
    words = [*STANDARD, "--grid", "optimizer.lr=0.1", "--output", tmp_path / "s"]
    (tmp_path / "s").mkdir()
    with FileLock(tmp_path / "s" / search_folder.LOCK):
        done = zoo_command(*words)
    assert done.code == 2 and f"another process searches in {tmp_path / 's'}: wait until it ends" in done.err


def test_a_folder_that_holds_anything_else_is_refused(zoo_command, tmp_path):
    (tmp_path / "notes.txt").touch()
    done = zoo_command(*STANDARD, "--grid", "optimizer.lr=0.1", "--output", tmp_path)
    assert done.code == 2 and "is not empty and contains no search" in done.err
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def open_asked(tmp_path, grid):
    return search_folder.open_study(tmp_path, grid, {"of": "this test"})


def test_a_process_killed_anywhere_between_two_writes_loses_no_point_of_the_grid(tmp_path):
    grid = {"a": ("1", "2"), "b": ("3", "4")}
    study = open_asked(tmp_path, grid)
    study._storage.create_new_trial(study._study_id)  # killed before a point was chosen
    (tmp_path / "study.journal.lock").symlink_to("study.journal")  # while it held Optuna's lock
    with (tmp_path / "study.journal").open("a") as journal:
        journal.write('{"op_code":5,"wor')  # and was writing
    seen = []
    study = open_asked(tmp_path, grid)
    while (trial := search_folder.next_trial(study, output=tmp_path)) is not None:
        point = tuple(trial.suggest_categorical(name, values) for name, values in grid.items())
        if trial.number == 2 and point not in seen:  # killed in the middle of the third
            seen.append(point)
            study = open_asked(tmp_path, grid)
            continue
        seen += [] if point in seen else [point]
        study.tell(trial, 0.5)
    assert sorted(seen) == [("1", "3"), ("1", "4"), ("2", "3"), ("2", "4")]
    assert [trial.state for trial in study.trials] == [optuna.trial.TrialState.COMPLETE] * 4


def test_a_full_disk_is_said_in_one_sentence(plan, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("optuna.storages.journal.JournalFileBackend.append_logs", full)
    with pytest.raises(CheckpointError, match="No space left on device; finished trials are kept"):
        run(plan)
