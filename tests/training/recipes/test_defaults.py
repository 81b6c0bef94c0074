"""The recipe of a command that names none."""

from dataclasses import replace

import pytest
import torch
from rich.console import Console

from tests.training.test_trainer import bright_or_dark
from training.commands.options import named_architecture, resolve_recipe
from training.objectives import OBJECTIVES
from training.recipes import defaults, few_labels, without_starting_point
from training.recipes.defaults import FEW_IMAGES, default_recipe, default_start
from training.recipes.few_labels import SIGMA
from training.recipes.quick import quick
from training.starting_point import starting_network
from zoo.errors import RecipeError


def chosen(name, *, num=40, objective="consistency", limit=None):
    return default_recipe(replace(bright_or_dark(num), name=name), objective=objective, limit_per_class=limit)


@pytest.mark.parametrize("name", ["imagefolder:pictures", "imagefolder:pictures#0,1", "hf:me/mine", "tuxpaint"])
def test_few_labels_is_the_default_for_few_own_pictures(name):
    assert chosen(name) == "few-labels" and chosen(name, num=FEW_IMAGES) == "quick"
    assert chosen(name, num=FEW_IMAGES, limit=10) == "few-labels"
    assert chosen(name, objective="simclr") == "quick" and chosen("digits") == "quick"


def test_below_the_limit_quick_has_fewer_steps():
    recipe, standard = few_labels(OBJECTIVES["standard"]()), quick(OBJECTIVES["standard"]())
    assert standard.epochs * FEW_IMAGES / standard.batch_size == recipe.total_steps


def test_few_labels_starts_from_imagenet_weights_where_their_package_is_installed(monkeypatch):
    monkeypatch.setattr(defaults, "is_installed", lambda file: True)
    assert default_start(recipe="few-labels", architecture=None) == "efficientnet_lite0.imagenet"
    assert default_start(recipe="few-labels", architecture="tf_efficientnet_lite0") == "efficientnet_lite0.imagenet"
    assert default_start(recipe="few-labels", architecture="resnet50") == "random"
    assert default_start(recipe="quick", architecture=None) == "random"
    monkeypatch.setattr(defaults, "is_installed", lambda file: False)
    assert default_start(recipe="few-labels", architecture=None) == "random"
    assert named_architecture("resnet18", ["epochs=1", "architecture=resnet50"]) == "resnet50"
    assert named_architecture("resnet18", []) == "resnet18" and named_architecture(None, ["epochs=1"]) is None


@pytest.mark.parametrize("objective", [name for name, kind in OBJECTIVES.items() if kind().learns_classes])
def test_few_labels_fits_every_method_and_lowers_its_noise(objective):
    recipe = few_labels(OBJECTIVES[objective]())
    assert recipe.objective.sigma in (None, SIGMA) and 0 < recipe.head_steps < recipe.total_steps


def test_without_a_starting_point_there_is_no_first_phase_and_statistics_are_trained():
    resolved = resolve_recipe(
        "few-labels", "gaussian", None, {"architecture": "resnet10-quarter"}, [],
        task=bright_or_dark(), device=torch.device("cpu"), console=Console(quiet=True),
    )  # fmt: skip
    assert resolved == replace(
        without_starting_point(few_labels(OBJECTIVES["gaussian"]())), architecture="resnet10-quarter"
    )
    assert (resolved.head_steps, resolved.batch_statistics, resolved.optimizer.lr) == (0, "trained-layers", 0.02)
    kept = replace(few_labels(OBJECTIVES["gaussian"]()), batch_statistics="trained-layers", normalization="task")
    with pytest.raises(RecipeError, match="head_steps=150 keeps parts of a trained starting point"):
        starting_network(bright_or_dark(), kept, seed=0, parent=None)
