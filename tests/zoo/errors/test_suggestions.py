"""An unknown name is answered with the name that its writer meant."""

import time

import pytest

from serving.protocol.parameters import Parameters
from training.objectives import find_objective
from training.objectives.table import OBJECTIVES
from training.recipe import field_paths
from training.recipes import quick
from training.tasks.table import TASKS
from zoo.errors.suggestions import ALIASES, did_you_mean, suggestions
from zoo.models.architecture import ARCHITECTURES

FIELDS = field_paths(quick(find_objective("consistency")()))
PARAMETERS = list(Parameters.model_fields)


@pytest.mark.parametrize(
    ("name", "known", "meant"),
    [
        ("resnet10", ARCHITECTURES, "resnet10-quarter"),
        ("ResNet50", ARCHITECTURES, "resnet50"),
        ("resnet_18", ARCHITECTURES, "resnet18"),
        ("lr", FIELDS, "optimizer.lr"),
        ("learning_rate", FIELDS, "optimizer.lr"),
        ("weight-decay", FIELDS, "optimizer.weight_decay"),
        ("sigma", FIELDS, "objective.sigma"),
        ("epoch", FIELDS, "epochs"),
        ("num_epochs", FIELDS, "epochs"),
        ("batch", FIELDS, "batch_size"),
        ("batchsize", FIELDS, "batch_size"),
        ("workers", FIELDS, "num_workers"),
        ("pictures", TASKS, "imagefolder"),
        ("image-folder", TASKS, "imagefolder"),
        ("mnist", TASKS, "fashion-mnist"),
        ("CIFAR-10", TASKS, "cifar10"),
        ("cifar", TASKS, "cifar10"),
        ("samples", PARAMETERS, "n"),
        ("deadline", PARAMETERS, "deadline_ms"),
        ("consistensy", OBJECTIVES, "consistency"),
    ],
)
def test_the_obvious_name_is_suggested(name, known, meant):
    assert suggestions(name, known) == [meant]
    assert did_you_mean(name, known) == f" Did you mean {meant!r}?"


@pytest.mark.parametrize("name", ["", "qqqq", "x" * 10_000_000])
def test_nothing_is_suggested_where_nothing_is_near_and_a_long_name_costs_nothing(name):
    started = time.process_time()
    assert suggestions(name, TASKS) == [] and did_you_mean(name, TASKS) == ""
    assert time.process_time() - started < 1


def test_an_alias_is_suggested_only_where_it_is_known():
    assert suggestions("pictures", ["digits"]) == []


def test_every_alias_leads_to_a_name_that_exists():
    assert set(ALIASES.values()) <= {*TASKS, *OBJECTIVES, *FIELDS, *PARAMETERS}


def test_several_suggestions_come_in_order():
    known = ["caltech256", "caltech101", "cars"]
    assert suggestions("caltech", known, most=2) == ["caltech256", "caltech101"]
