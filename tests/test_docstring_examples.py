"""The examples in the docstrings do what they say: where users enter, and in the README."""

import doctest
import importlib
import re
from pathlib import Path

import pytest

from serving.protocol import Limits
from serving.service.loading import load_service
from tests.serving.in_process import served_in_process
from training.tasks import open_task

MODULES = {
    "zoo": {"zoo.classifier", "zoo.load", "zoo.preprocess", "zoo.smooth"},
    "zoo.smoothing.bounds": {"clopper_pearson_lower", "clopper_pearson_upper", "least_n"},
    "zoo.smoothing.certificate": {"SmoothingSpec"},
    "zoo.smoothing.classifier": {"SmoothedClassifier"},
    "zoo.smoothing.family": {"Family"},
    "zoo.smoothing.conformal": {"alpha_before_change", "num_images_needed"},
    "zoo.smoothing.radius": {"certified_radius", "probability_at"},
    "serving.client.blocking": {"Client"},
}
ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def folder(digits_checkpoint, tmp_path_factory):
    """A folder with the checkpoint `my-model` and digit.png, a 4; both also where `make demo` puts its own."""
    folder = tmp_path_factory.mktemp("examples")
    demo = folder / "runs/demo"
    demo.mkdir(parents=True)
    for place in (folder / "my-model", demo / "pulled"):
        place.symlink_to(digits_checkpoint.path)
    for place in (folder, demo):
        open_task("digits", data_dir=folder).test[3].save(place / "digit.png")
    return folder


@pytest.fixture(scope="module")
def url(digits_checkpoint):
    """The address of a served `my-model`."""
    service = load_service(digits_checkpoint, device="cpu", limits=Limits())
    with served_in_process(service) as url:
        yield f"{url}/predictions/{service.spec.name}"


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_do_what_they_say(name, folder, url, monkeypatch):
    monkeypatch.chdir(folder)
    finder = doctest.DocTestFinder(exclude_empty=True)
    tests = [test for test in finder.find(importlib.import_module(name), extraglobs={"url": url}) if test.examples]
    assert {test.name.removeprefix(f"{name}.") for test in tests} == {
        each.removeprefix("zoo.") for each in MODULES[name]
    }
    runner, told = doctest.DocTestRunner(), []
    for test in tests:
        runner.run(test, out=told.append)
    assert runner.summarize(verbose=False).failed == 0, "".join(told)


@pytest.mark.parametrize("page", ["README.md", "docs/how-to/python.md"])
def test_the_first_example_of_a_page_runs(page, folder, monkeypatch, capsys):
    (code,) = re.findall(r"```python\n(import zoo\n.*?)```", (ROOT / page).read_text(), flags=re.DOTALL)
    monkeypatch.chdir(folder)
    exec(compile(code, page, "exec"), {})
    assert "4 " in capsys.readouterr().out
