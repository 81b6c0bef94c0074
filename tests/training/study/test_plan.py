"""A study file is read strictly, and its runs come in an order in which each can be done."""

import re

import pytest
import yaml

from tests.training.study.conftest import TWO_RUNS
from training.study.built_in import built_in_studies, find_study
from training.study.plan import plan_runs
from training.study.study_file import Images, read_study
from zoo.errors import RecipeError, RequestError

CONTENT = yaml.safe_load(TWO_RUNS.read_text())


def written(tmp_path, content):
    path = tmp_path / "study.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return path


def changed(*place_and_value):
    """The two-run study with another value at a place."""
    *place, last, value = place_and_value
    content = yaml.safe_load(TWO_RUNS.read_text())
    inner = content
    for name in place:
        inner = inner[name]
    inner[last] = value
    return content


NAMED = {"task": "even", "start": "standard", "method": "consistency"}


def named(**other):
    """The two-run study whose one experiment names its runs; `other` are other values of the only named run."""
    return changed("experiments", "certified", {"role": "certified", "measure": {}, "runs": [NAMED | other]})


@pytest.mark.parametrize("path", [TWO_RUNS, *built_in_studies().values()], ids=lambda path: path.name)
def test_every_run_comes_after_what_it_starts_from(path):
    runs = plan_runs(read_study(path))
    ids = [run.id for run in runs]
    assert len(set(ids)) == len(ids) > 0
    for place, run in enumerate(runs):
        assert run.parent is None or run.parent in ids[:place]
        assert re.fullmatch(r"[a-z0-9.-]+", run.id)  # it names files


def test_the_product_is_every_task_start_method_and_seed(tmp_path):
    content = changed("experiments", "certified", "starting_points", ["random", "standard"])
    content["seeds"] = [0, 1]
    content["tasks"]["even"]["labels"] = [{"per_class": 3}, {"per_class": 4, "set": ["epochs=3"]}]
    content["set"] = ["epochs=1", "validation_share=0"]
    runs = plan_runs(read_study(written(tmp_path, content)))
    assert [run.id for run in runs[:5]] == [
        "pretraining.standard.s0",
        "certified.even-3.consistency.from-random.s0",
        "certified.even-3.consistency.from-standard.s0",
        "certified.even-4.consistency.from-random.s0",
        "certified.even-4.consistency.from-standard.s0",
    ]
    assert len(runs) == 10 and {run.seed for run in runs[5:]} == {1}
    assert [(run.recipe.limit_per_class, run.recipe.epochs) for run in runs[1:5:2]] == [(3, 1), (4, 3)]
    assert runs[7].parent == "pretraining.standard.s1" and runs[6].parent is None
    content["experiments"]["certified"]["tasks"] = ["even-4"]
    assert len(plan_runs(read_study(written(tmp_path, content)))) == 2 * 3


def test_one_pretraining_may_serve_all_seeds_and_a_start_may_start_from_another(tmp_path):
    content = changed("starting_points", "standard", "seed", 7)
    content["seeds"] = [0, 1]
    content["starting_points"]["second"] = {"task": "odd", "method": "consistency", "start": "standard"}
    content["starting_points"]["hub"] = {"model": "owner/name"}
    content["experiments"]["certified"]["starting_points"] = ["second", "hub"]
    runs = {run.id: run for run in plan_runs(read_study(written(tmp_path, content)))}
    assert [id for id in runs if "pretraining" in id] == [
        "pretraining.standard.s7",
        "pretraining.second.s0",
        "pretraining.second.s1",
    ]
    assert runs["pretraining.second.s1"].parent == "pretraining.standard.s7"
    assert runs["certified.even.consistency.from-hub.s1"].model == "owner/name"


def test_runs_may_be_named_one_by_one_with_some_of_the_seeds(tmp_path):
    content = changed("seeds", [0, 1])
    named = [
        {"task": "even", "start": "random", "method": "consistency", "seeds": [1]},
        {"task": "even", "start": "standard", "method": "consistency"},
    ]
    content["experiments"]["certified"] = {"role": "certified", "measure": {"certify": [0.25]}, "runs": named}
    runs = [run for run in plan_runs(read_study(written(tmp_path, content))) if run.role is not None]
    assert [run.id for run in runs] == [
        "certified.even.consistency.from-standard.s0",
        "certified.even.consistency.from-random.s1",
        "certified.even.consistency.from-standard.s1",
    ]
    assert [run.parent for run in runs] == ["pretraining.standard.s0", None, "pretraining.standard.s1"]
    assert {run.measure.certify for run in runs} == {(0.25,)}


def test_settings_at_their_defaults_are_not_in_a_request_and_others_are(tmp_path):
    """Requests of earlier versions stay equal, and another sample or radius is another request."""
    default = plan_runs(read_study(TWO_RUNS))[1].request()
    assert "sample" not in default["certified"] and "certified_radius" not in default["evaluation"]
    content = changed("tasks", "even", "certified", {"sample": 6})
    content["evaluation"] |= {"radii": [0.0, 0.25], "certified_radius": 0.25}
    content["report"] = "pictures"
    request = plan_runs(read_study(written(tmp_path, content)))[1].request()
    assert request["certified"]["sample"] == 6 and request["evaluation"]["certified_radius"] == 0.25


def test_a_sample_is_that_of_the_seed_and_shows_every_class():
    labels = [0] * 20 + [1] * 4 + [2] * 8
    first, again, other = (Images(sample=8).selection(seed).of(labels) for seed in (0, 0, 1))
    assert first == again != other and len(first) == 8
    assert {labels[index] for index in first} == {labels[index] for index in other} == {0, 1, 2}


def test_assignments_count_from_the_study_s_to_the_experiment_s(tmp_path):
    content = changed("experiments", "certified", "set", ["batch_size=4"])
    content["set"] += ["batch_size=64", "epochs=1"]
    content["tasks"]["even"]["set"] = ["batch_size=32", "epochs=2", "optimizer.lr=0.5"]
    content["starting_points"]["standard"]["fine_tuning"] = ["epochs=3", "optimizer.lr=0.25"]
    content["methods"]["consistency"]["set"] = ["epochs=4"]
    recipe = plan_runs(read_study(written(tmp_path, content)))[1].recipe
    assert (recipe.batch_size, recipe.epochs, recipe.optimizer.lr) == (4, 4, 0.25)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (changed("epochs", 3), "epochs: unknown key"),
        (changed("tasks", "even", "skip", 3), "tasks.even.skip: unknown key"),
        (changed("seeds", ["0"]), "seeds.0: Input should be a valid integer"),
        (changed("seeds", [0, 0]), "seeds must differ, got [0, 0]"),
        (changed("evaluation", "certification", "alpha", 1.0), "evaluation.certification.alpha: Input should be less"),
        (changed("evaluation", "certification", "bound", "hoeffding"), "bound: Input should be 'clopper-pearson' or"),
        (changed("experiments", "certified", "tasks", ["evn"]), "certified.tasks names 'evn'; expected one of"),
        (changed("experiments", "certified", "methods", ["macer"]), "names 'macer'; expected one of consistency"),
        (changed("experiments", "certified", "role", "all"), "experiments.certified.role: Input should be 'empirical'"),
        (changed("starting_points", "standard", "method", None), "needs both task and method"),
        (changed("starting_points", "standard", "model", "a/b"), "either a model or trained here"),
        (changed("starting_points", "standard", "start", "standard"), "form a cycle, got standard from standard"),
        (changed("starting_points", "random", {"model": "a/b"}), "random must have neither model"),
        (changed("starting_points", "empty", {}), "empty: random must have neither"),
        (changed("tasks", "even", "labels", []), "at least one entry and no per_class twice, got []"),
        (changed("tasks", "even", "certified", {"sample": 6, "skip": 2}), "sample draws images, skip and max select"),
        (changed("experiments", "certified", "methods", []), "tasks, starting_points and methods, or else runs"),
        (changed("experiments", "certified", "runs", [NAMED]), "tasks, starting_points and methods, or else runs"),
        (named(seeds=[1]), "experiments.certified.runs.0.seeds names '1'; expected one of 0"),
        (named(start="simclr"), "experiments.certified.runs.0.start names 'simclr'; expected one of random, standard"),
        (changed("evaluation", "certified_radius", 0.3), "radii must contain 0.3"),
        (changed("evaluation", "certified_radius", 1.0), "must be 0.5, the radius of the paper's tables"),
        (changed("report", "table"), "report: Input should be 'paper' or 'pictures'"),
        (changed("name", "Two Runs"), "name: String should match pattern"),
        ("name: [", "cannot be read as a study"),
        ("- a", "the study: Input should be an object"),
    ],
)  # fmt: skip
def test_a_study_that_holds_nonsense_is_refused_by_name(content, said, tmp_path):
    with pytest.raises(RecipeError) as refused:
        read_study(written(tmp_path, content))
    assert said in str(refused.value) and "study.yaml" in str(refused.value)


def test_a_run_s_identity_names_the_bound_only_if_it_is_not_the_default(tmp_path):
    requests = {}
    for bound in (None, "clopper-pearson", "simultaneous"):
        certification = {"n": 50} if bound is None else {"n": 50, "bound": bound}
        study = read_study(written(tmp_path, changed("evaluation", "certification", certification)))
        requests[bound] = plan_runs(study)[1].request()
    assert requests[None] == requests["clopper-pearson"]
    assert requests[None]["evaluation"]["certification"] == {"n0": 100, "n": 50, "alpha": 0.001}
    assert requests["simultaneous"]["evaluation"]["certification"]["bound"] == "simultaneous"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (changed("set", ["epoch=1"]), "no field 'epoch'"),
        (changed("methods", "consistency", "objective", "consistent"), "unknown objective 'consistent'"),
        (changed("architecture", "resnet9"), "unknown architecture 'resnet9'"),
        (changed("methods", "consistency", "recipe", "slow"), "unknown recipe 'slow'"),
    ],
)
def test_what_no_run_could_do_is_refused_when_it_is_planned(content, said, zoo_command, tmp_path):
    done = zoo_command("study", "plan", written(tmp_path, content))
    assert done.code == 2 and said in done.err


def test_a_built_in_study_goes_by_its_name_and_a_file_by_its_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "miniature").mkdir()  # a folder of the user's is not in the way
    assert read_study(find_study("miniature")).name == "miniature"
    path = written(tmp_path, CONTENT)
    assert find_study(str(path)) == path
    path.rename("miniature.yaml")
    assert find_study("./miniature.yaml").samefile("miniature.yaml")
    with pytest.raises(RequestError, match="unknown study 'minature'; known: miniature, paper, pictures"):
        find_study("minature")
