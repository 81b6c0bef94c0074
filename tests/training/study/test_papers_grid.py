"""The paper's own grid, planned on tiny copies of its data sets and without any data, and one of its runs."""

from dataclasses import replace

import pytest
from rich.console import Console

from tests.training.tasks import fake_trees
from training.recipe import override
from training.study.built_in import find_study
from training.study.console_report import plan_table, time_left_in_words
from training.study.cost import estimated_seconds, why_unknown
from training.study.data import TaskLabels, study_data
from training.study.folder import StudyFolder
from training.study.plan import plan_runs
from training.study.run import RunEnvironment, execute_run
from training.study.study_file import AttackSettings, read_study
from training.tasks.table import PUBLISHED

TINY = (
    "architecture=resnet10-quarter", "image_size=32", "epochs=1", "batch_size=4", "validation_share=0",
    "schedule.name=cosine", "schedule.milestones=",
)  # fmt: skip


@pytest.fixture(scope="module")
def study():
    return read_study(find_study("paper"))


@pytest.fixture(scope="module")
def runs(study):
    return plan_runs(study)


@pytest.fixture
def trees(tmp_path, monkeypatch):
    """A tiny copy of every data set of the grid."""
    fake_trees.accept_any_checksum(monkeypatch)
    fake_trees.write_imagenet(tmp_path / "imagenet")
    fake_trees.write_tree(tmp_path / "birdsnap")
    for name in ("food", "cifar10", "cifar100", "sun397", "caltech256", "cars", "aircraft", "dtd", "pets", "caltech101",
                 "flowers"):  # fmt: skip
        getattr(fake_trees, f"write_{name}")(tmp_path)
    return tmp_path


def test_the_grid_is_the_paper_s(study, runs):
    assert {name: entry.certified.skip for name, entry in study.tasks.items()} == {
        row.name: row.table8.skip for row in PUBLISHED
    }
    sizes = {role: len({run.target for run in runs if run.role == role}) for role in ("empirical", "certified")}
    assert sizes == {"empirical": 12, "certified": 12} and len(runs) == 85
    settings = study.evaluation
    assert (settings.attack.epsilon, settings.certification.n0, settings.certification.n) == (0.5, 100, 100_000)
    assert {run.measure.certify for run in runs if run.role == "certified"} == {(0.5,)}
    source, *others = runs
    assert (source.recipe.epochs, source.recipe.schedule.milestones, source.recipe.batch_size) == (90, (30, 60), 100)
    assert {run.recipe.epochs for run in others if run.starting_point == "random"} == {300}
    assert {run.recipe.architecture for run in runs} == {"resnet50"}


def test_the_plan_names_all_missing_data_at_once_and_still_states_the_cost(study, runs, tmp_path):
    data = study_data(runs, data_dir=tmp_path)
    assert set(data.missing) == {row.name for row in PUBLISHED} and not list(tmp_path.iterdir())
    for row in PUBLISHED:
        assert data.missing[row.name].startswith(f"{row.title} cannot be read from {tmp_path / row.subfolder}: ")
        assert ". " not in data.missing[row.name] and data.missing[row.name].endswith(row.layout)
    seconds = estimated_seconds(runs, {}, study.speeds, data.labels)
    by_id = {run.id: seconds[run.id] for run in runs}
    # 505 images of 100,100 draws, and 75,750 images over 150 epochs of two copies, at three passes each.
    passes = (505 * 100_100 / 3800, 75_750 * 150 * 2 * 3 / 7610)
    assert by_id["certified.food.consistency.from-simclr.s0"] == pytest.approx(sum(passes), abs=1)
    assert why_unknown(runs, seconds, {}, study.speeds, data.labels) == {}


def test_the_plan_says_why_a_duration_is_unknown_and_what_is_known_in_total(runs):
    ids = {f"certified.{task}.consistency.from-simclr.s0" for task in ("food", "pets")}
    runs = [run for run in runs if run.id in ids]
    labels = {"food": TaskLabels(train=[0, 1], test=[0, 1])}
    unknown = {run.id: None for run in runs}
    reasons = why_unknown(runs, unknown, {}, {}, labels)
    assert reasons["certified.food.consistency.from-simclr.s0"].endswith("speed of certify, consistency yet")
    assert reasons["certified.pets.consistency.from-simclr.s0"] == "the data of pets are missing"
    states = {run.id: "missing" for run in runs}
    table = plan_table(runs, states, unknown, reasons)
    assert [column.header for column in table.columns][-1] == "why unknown"
    words = time_left_in_words(runs, states, {**unknown, runs[0].id: 7200.0}, machine="a machine")
    assert words == "estimated time left: 7,200 seconds, 2.0 hours, and the unknown time of 1 runs (a machine)"
    assert "unknown, as for each of the 2 runs" in time_left_in_words(runs, states, unknown, machine=None)


def test_the_plan_is_complete_on_copies_of_all_data_sets(study, runs, trees):
    data = study_data(runs, data_dir=trees)
    assert data.missing == {} and set(data.labels) == {row.name for row in PUBLISHED}
    assert len(data.labels["flowers"].train) == 4
    assert None not in estimated_seconds(runs, {}, study.speeds, data.labels).values()


def test_a_run_of_the_grid_ends_with_its_measures(runs, tmp_path):
    fake_trees.write_pets(tmp_path)
    run = next(run for run in runs if run.id == "empirical.pets.adversarial.from-random.s0")
    settings = run.evaluation.model_copy(update={"attack": AttackSettings(num_steps=2)})
    tiny = replace(run, recipe=override(run.recipe, TINY), evaluation=settings)
    environment = RunEnvironment(device="cpu", data_dir=tmp_path, console=Console(quiet=True))
    result = execute_run(tiny, StudyFolder(tmp_path / "runs"), environment, study="paper")
    measured = result.empirical
    assert (measured.num_images, measured.attack.epsilon, result.num_classes, result.num_train_images) == (2, 0.5, 2, 4)
    assert 0 <= measured.robust_accuracy <= measured.standard_accuracy
