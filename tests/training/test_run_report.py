"""The end of a run says what it was trained on, and whether to trust it."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from tests.training.test_trainer import bright_or_dark, run_of
from training import run_report
from training.objectives.simclr import SimClr
from training.run_report import report_of, tables_of
from training.tasks.task import ArrayImages
from zoo.cli._console import PlainConsole

CPU = torch.device("cpu")


class Brightness(nn.Module):
    def forward(self, x_BCHW):
        mean_B1 = x_BCHW.flatten(1).mean(dim=1, keepdim=True)
        return torch.cat([0.4 - mean_B1, mean_B1 - 0.4], dim=1)


class Constant(nn.Module):
    def forward(self, x_BCHW):
        return torch.tensor([[1.0, 0.0]]).expand(len(x_BCHW), 2)


class Checkpoint:
    """The part of a checkpoint that the report reads."""

    def __init__(self, network, spec):
        self.network, self.spec = network, spec
        network.register_parameter("unused", nn.Parameter(torch.zeros(())))

    def load_network(self):
        return self.network


@pytest.fixture
def report(tmp_path):
    def of(network, **fields):
        run = run_of(tmp_path, **({"validation_share": 0.2} | fields))
        spec = run.spec(run.task, epochs=1, num_train_images=1, num_ranks=1, device="cpu", is_synchronized=False)
        return report_of(run, Checkpoint(network, spec), device=CPU)

    return of


def printed(report):
    console = PlainConsole(width=120)
    with console.capture() as captured:
        for title, table in tables_of(report):
            console.print(title, table, sep="\n")
    return captured.get()


def test_images_per_class_and_split_are_counted_and_a_good_network_is_told_from_chance(report):
    good = report(Brightness(), validation_share=0.5)
    assert [(row.name, row.train, row.validation, row.test) for row in good.classes] == [
        ("dark", 10, 10, 20), ("bright", 10, 10, 20),
    ]  # fmt: skip
    scores = good.validation
    assert (scores.accuracy, scores.mean_per_class, scores.majority_baseline, scores.num_draws) == (1.0, 1.0, 0.5, 15)
    assert good.warning is None and scores.mean_per_class_interval[0] > 1.25 / 2
    text = printed(good)
    assert "10 of 10" in text and "always answering dark" in text and "sigma 0.1, most frequent of 15 answers" in text


def test_a_constant_network_is_warned_of(report):
    constant = report(Constant())
    assert constant.validation.mean_per_class == 0.5 and not constant.validation.is_told_from_chance
    assert "cannot be told from chance" in constant.warning and "1.25 / 2 = 62.5 %" in constant.warning
    assert constant.as_json()["warning"] == constant.warning


def test_a_run_without_validation_images_says_that_nothing_was_measured(report):
    unmeasured = report(Constant(), validation_share=0.0)
    assert unmeasured.validation is None and "no validation image was held out" in unmeasured.warning
    assert "right on validation" not in printed(unmeasured)


def test_a_method_without_classes_has_no_scores_and_no_warning(report):
    without = report(Constant(), objective=SimClr(), validation_share=0.0)
    assert (without.validation, without.warning) == (None, None)


def test_of_many_validation_images_a_stratified_sample_is_measured(report, monkeypatch):
    monkeypatch.setattr(run_report, "MOST_MEASURED", 4)
    few = report(Brightness(), validation_share=0.5)
    assert few.validation.num_images == 4 and [row.num_measured for row in few.classes] == [2, 2]


def test_of_many_classes_those_with_the_fewest_images_are_listed(tmp_path):
    task = bright_or_dark(60)
    labels = [index % 30 for index in range(60)]
    names = tuple(f"class{label}" for label in range(30))
    images = ArrayImages(task.train.pixels, labels)
    run = replace(run_of(tmp_path), task=replace(task, class_names=names, train=images, test=images))
    run = replace(run, recipe=replace(run.recipe, validation_share=0.0))
    text = printed(report_of(run, None, device=CPU))
    assert "10 classes with the fewest training images, of 30" in text and "class9" in text and "class10" not in text
