"""Where a run begins: random weights, a parent's, frozen layers, another head; and what of it a checkpoint holds."""

import json

import pytest
import torch
from torch import nn

from tests.training.test_trainer import CPU, QUIET, bright_or_dark, recipe, run_of, weights
from training.freezing import to_train_mode
from training.objectives.adversarial import Adversarial
from training.objectives.simclr import SimClr
from training.objectives.standard import Standard
from training.recipe import Schedule, Sgd
from training.run import TrainingRun
from training.starting_point import starting_network
from training.trainer import train
from zoo.errors import RecipeError

HEADS = ("fc.weight", "fc.bias")


@pytest.fixture(scope="module")
def parent(tmp_path_factory):
    return train(run_of(tmp_path_factory.mktemp("parent") / "c", epochs=1), device=CPU, resume=False, console=QUIET)


def child_of(parent, output, **fields):
    fields = {"objective": Standard(), "epochs": 2, "optimizer": Sgd(lr=0.1)} | fields
    run = TrainingRun(task=bright_or_dark(), recipe=recipe(**fields), seed=1, output=output, parent=parent)
    return train(run, device=CPU, resume=False, console=QUIET)


def moved(parent, child):
    before, after = weights(parent.path), weights(child.path)
    return {name for name, value in before.items() if not torch.equal(value, after[name])}


def is_statistic(name):
    return name.rpartition(".")[2] in ("running_mean", "running_var", "num_batches_tracked")


def test_with_all_but_the_head_frozen_nothing_else_moves_not_even_a_running_statistic(parent, tmp_path):
    child = child_of(parent, tmp_path / "c", freeze="all-but-head")
    assert moved(parent, child) == set(HEADS)
    assert child.spec.certified.batch_statistics == (
        "all training batches; in frozen layers the starting point, unchanged"
    )
    assert "| frozen | up to all-but-head |" in (child.path / "README.md").read_text()


def test_frozen_layers_may_go_on_to_follow_the_batches_statistics(parent, tmp_path):
    child = child_of(parent, tmp_path / "c", freeze="all-but-head", batch_statistics="all-layers")
    assert moved(parent, child) >= set(HEADS) and all(
        is_statistic(name) or name in HEADS for name in moved(parent, child)
    )
    assert any(is_statistic(name) for name in moved(parent, child))


def test_freezing_up_to_a_layer_trains_what_is_above_it(parent, tmp_path):
    child = child_of(parent, tmp_path / "c", freeze="layer2", objective=Adversarial(num_steps=1))
    names = {name.partition(".")[0] for name in moved(parent, child)}
    assert names == {"layer3", "layer4", "fc"}


def test_without_batch_statistics_every_weight_moves_and_no_running_statistic(parent, tmp_path):
    child = child_of(parent, tmp_path / "c", batch_statistics="no-layer")
    names = moved(parent, child)
    assert names and not any(is_statistic(name) for name in names) and {"conv1.weight", "fc.bias"} <= names


def test_an_attack_leaves_frozen_layers_frozen_and_their_statistics_alone(parent):
    run = recipe(objective=Adversarial(), freeze="layer3")
    network = starting_network(bright_or_dark(), run, seed=0, parent=parent)
    to_train_mode(network, network.backbone, "layer3", "trained-layers")
    modes = [module.training for module in network.modules()]
    from training.attacks import under_attack

    with under_attack(network) as target:
        assert not any(parameter.requires_grad for parameter in target.parameters())
        assert not any(module.training for module in target.modules())
    assert [module.training for module in network.modules()] == modes and True in modes and False in modes
    trained = {name.partition(".")[0] for name, value in network.backbone.named_parameters() if value.requires_grad}
    assert trained == {"layer4", "fc"}


@pytest.mark.parametrize("fields", [{"freeze": "conv1"}, {"batch_statistics": "no-layer"}, {"normalization": "init"}])
def test_what_keeps_a_starting_point_needs_one(fields, tmp_path):
    with pytest.raises(RecipeError, match="give --init"):
        train(run_of(tmp_path / "c", **fields), device=CPU, resume=False, console=QUIET)


def test_normalization_is_the_tasks_unless_the_starting_points_or_a_named_one_is_asked_for(parent, tmp_path):
    imagenet = child_of(parent, tmp_path / "a", normalization="imagenet", epochs=1)
    assert imagenet.spec.preprocessing.mean == (0.485, 0.456, 0.406)
    assert child_of(imagenet, tmp_path / "b", epochs=1).spec.preprocessing.mean == (0.0, 0.0, 0.0)
    inherited = child_of(imagenet, tmp_path / "c", epochs=1, normalization="init")
    assert inherited.spec.preprocessing.std == (0.229, 0.224, 0.225)
    assert inherited.load_network().normalization.mean_C11.flatten().tolist() == pytest.approx([0.485, 0.456, 0.406])


def test_contrastive_pretraining_leaves_a_fresh_head_that_no_child_keeps(parent, tmp_path):
    run = run_of(tmp_path / "simclr", objective=SimClr(hidden=16, outputs=8), epochs=1)
    learned = train(run, device=CPU, resume=False, console=QUIET)
    certified = learned.spec.certified
    assert not certified.has_trained_head and certified.sigma is None and learned.spec.num_classes == 2
    assert weights(learned.path)["fc.weight"].shape == (2, 128)
    assert certified.num_train_images == 40, "labels are not used, so none is held out for validation"
    assert json.loads((learned.path / "split.json").read_text())["validation"] == []
    assert "its predictions are meaningless until the model is fine-tuned" in (learned.path / "README.md").read_text()
    child = recipe(objective=Standard())
    start = starting_network(bright_or_dark(), child, seed=5, parent=learned).backbone.state_dict()
    stored = weights(learned.path)
    assert all(torch.equal(start[name], stored[name]) == (name not in HEADS) for name in stored)


def test_contrastive_pretraining_sees_two_views_of_every_image(tmp_path):
    network = starting_network(bright_or_dark(), recipe(objective=SimClr(hidden=16, outputs=8)), seed=0, parent=None)
    assert isinstance(network.backbone.fc, nn.Sequential)
    assert network(torch.rand(6, 3, 16, 16)).shape == (6, 8)


def test_a_limit_per_class_counts_all_labels_that_are_used(tmp_path):
    checkpoint = train(
        run_of(tmp_path / "c", epochs=1, limit_per_class=5, validation_share=0.2),
        device=CPU, resume=False, console=QUIET,
    )  # fmt: skip
    split = json.loads((checkpoint.path / "split.json").read_text())
    assert (len(split["train"]), len(split["validation"])) == (8, 2)
    assert split["task"]["limit_per_class"]["count"] == 5 and len(split["task"]["limit_per_class"]["kept"]) == 10
    assert (checkpoint.spec.certified.limit_per_class, checkpoint.spec.certified.num_train_images) == (5, 8)


def test_too_few_images_for_the_parts_of_a_batch_or_for_validation_are_refused(tmp_path):
    fields = {"epochs": 1, "limit_per_class": 1, "validation_share": 0.1, "batch_size": 16}
    with pytest.raises(RecipeError, match="2 training images are too few for 4 part"):
        train(run_of(tmp_path / "a", **fields, accumulation=4), device=CPU, resume=False, console=QUIET)
    plateau = Schedule(name="plateau", patience=1)
    with pytest.raises(RecipeError, match=r"validation_share=0\.1 of 2 images leaves none: raise it"):
        train(run_of(tmp_path / "b", **fields, schedule=plateau), device=CPU, resume=False, console=QUIET)
