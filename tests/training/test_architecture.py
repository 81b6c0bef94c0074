"""The architecture of a run: the default by device, images that it takes, and layers of any network."""

import io

import pytest
import torch
from rich.console import Console
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from tests.training.test_trainer import CPU, QUIET, bright_or_dark, recipe, run_of, same_weights, weights
from training.architecture import (
    MULTIPLY_ADDS_AT_224,
    ON_CPU,
    ON_GPU,
    default_architecture,
    describe_default,
    require_logits,
)
from training.commands.options import resolve_recipe
from training.freezing import freeze_parameters, to_train_mode
from training.objectives.simclr import SimClr
from training.optimization import _synchronized
from training.run import TrainingRun
from training.starting_point import starting_network
from training.trainer import train
from zoo.errors import RecipeError, RequestError
from zoo.models.architecture import NormalizedNetwork, find_architecture

SMALL = "mobilenetv3_small_050"


def started(parent=None, **fields):
    return starting_network(bright_or_dark(), recipe(**fields), seed=0, parent=parent).backbone


def test_the_default_on_a_cpu_costs_at_most_half_a_billion_multiply_adds():
    assert {default_architecture("cpu", size) for size in (8, 32, 117)} == {"resnet18"}
    assert {default_architecture("cpu", size) for size in (118, 224)} == {"tf_efficientnet_lite0"}
    assert {default_architecture("cuda", size) for size in (32, 224)} == {"resnet50"}
    line = describe_default("resnet18", device_type="cpu", size=32)
    assert line.startswith("architecture: resnet18, the default on a CPU at 32 pixels (0.037 billion multiply-adds")


@pytest.mark.parametrize(
    ("name", "device", "words", "architecture", "is_said"),
    [
        ("quick", "cpu", [], "resnet18", True),
        ("quick", "cpu", ["image_size=160"], "tf_efficientnet_lite0", True),
        ("quick", "cuda", [], "resnet50", True),
        ("quick", "cpu", ["architecture=resnet34"], "resnet34", False),
        ("paper", "cpu", [], "resnet50", False),
    ],
)
def test_the_default_by_device_is_in_the_recipe_and_said_in_one_line(name, device, words, architecture, is_said):
    said = Console(file=io.StringIO(), width=40)
    resolved = resolve_recipe(
        name, "gaussian", None, {"architecture": None}, words,
        task=bright_or_dark(), device=torch.device(device), console=said,
    )  # fmt: skip
    assert resolved.architecture == architecture
    assert [line.startswith(f"architecture: {architecture}, the default on a ") for line in lines_of(said)] == (
        [True] if is_said else []
    )


def lines_of(console):
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize("name", [ON_GPU, *ON_CPU])
def test_the_multiply_adds_of_the_defaults_are_those_of_the_networks(name):
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        find_architecture(name).build(1000, 224).eval()(torch.zeros(1, 3, 224, 224))
    assert counter.get_total_flops() / 2 == pytest.approx(MULTIPLY_ADDS_AT_224[name], rel=0.02)


def test_a_network_that_does_not_take_the_tasks_images_is_refused_in_a_sentence():
    with pytest.raises(RequestError, match="efficientformer_l1 does not take images of 3x16x16: ") as refused:
        started(architecture="efficientformer_l1")
    assert len(str(refused.value).splitlines()) == 1 and len(str(refused.value)) < 320


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        (nn.Conv2d(1, 2, 1), "x does not take images of 3x16x16: .* expected input.* to have 1 channels"),
        (nn.Flatten(start_dim=2), r"x is not a classifier: it maps one image to \(1, 3, 256\), expected \(1, 2\)"),
        (nn.Module(), "x does not take images of 3x16x16: "),
    ],
)
def test_what_is_no_classifier_of_colour_images_is_refused(layer, said):
    network = NormalizedNetwork(layer, mean=(0, 0, 0), std=(1, 1, 1))
    with pytest.raises(RequestError, match=said):
        require_logits(network, name="x", num_classes=2, size=16)
    assert network.training


@pytest.fixture(scope="module")
def parent(tmp_path_factory):
    run = run_of(tmp_path_factory.mktemp("timm") / "c", architecture=SMALL, epochs=1)
    return train(run, device=CPU, resume=False, console=QUIET)


def test_with_all_but_the_head_frozen_only_timms_classifier_moves(parent, tmp_path):
    fields = {"architecture": SMALL, "freeze": "all-but-head", "epochs": 1}
    run = TrainingRun(task=bright_or_dark(), recipe=recipe(**fields), seed=1, output=tmp_path, parent=parent)
    child = train(run, device=CPU, resume=False, console=QUIET)
    before, after = weights(parent.path), weights(child.path)
    moved = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert moved == {"classifier.weight", "classifier.bias"}


def test_frozen_layers_of_a_transformer_include_its_bare_parameters_and_its_dropout():
    backbone = find_architecture("vit_tiny_patch16_224").build(2, 16)
    to_train_mode(backbone, backbone, "all-but-head", "trained-layers")
    assert backbone.head.training and not any(m.training for m in backbone.blocks.modules())
    freeze_parameters(backbone, "all-but-head")
    trained = {name for name, value in backbone.named_parameters() if value.requires_grad}
    assert trained == {"head.weight", "head.bias"}


def test_a_stage_of_a_resnet_is_refused_for_another_network(parent):
    with pytest.raises(RecipeError, match=f"freeze=layer2 names a stage of a ResNet, and {SMALL} is not one"):
        started(parent, architecture=SMALL, freeze="layer2")


def test_contrastive_pretraining_replaces_the_last_layer_of_any_network_that_has_one():
    backbone = started(architecture="convnext_atto", image_size=32, objective=SimClr(hidden=16, outputs=8))
    assert isinstance(backbone.head.fc, nn.Sequential)
    assert backbone(torch.rand(2, 3, 32, 32)).shape == (2, 8)
    with pytest.raises(RecipeError, match="simclr replaces the last layer, and that of dpn48b is not a single linear"):
        started(architecture="dpn48b", image_size=32, objective=SimClr(hidden=16, outputs=8))


def test_stochastic_depth_and_dropout_repeat_with_the_seed(tmp_path):
    """FasterNet skips blocks at random while it is trained."""
    for output in ("a", "b"):
        torch.rand(7)  # the program's own draws must not matter
        run = run_of(tmp_path / output, architecture="fasternet_t0", image_size=32, epochs=1)
        train(run, device=CPU, resume=False, console=QUIET)
    assert same_weights(tmp_path / "a", tmp_path / "b")


def test_synchronized_batch_normalization_keeps_timms_activation():
    network = find_architecture(SMALL).build(2, 32)
    with_activation = [name for name, m in network.named_modules() if type(getattr(m, "act", None)) is nn.Hardswish]
    converted = _synchronized(network)
    assert with_activation
    for name in with_activation:
        layer = converted.get_submodule(name)
        assert isinstance(layer, nn.SyncBatchNorm) and isinstance(layer.act, nn.Hardswish)
