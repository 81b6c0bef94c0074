"""Networks of timm: its own checkpoints, and EfficientNets under the names of EfficientNet-PyTorch."""

import argparse
import json
from importlib.metadata import distribution
from pathlib import Path

import pytest
import timm
import torch
from timm.utils import CheckpointSaver, ModelEmaV3

from tests.zoo.importing.foreign_files import prefixed
from tests.zoo.importing.running import imported, refusal
from zoo.checkpoints.checkpoint import open_checkpoint
from zoo.importing.namings import from_efficientnet, possible_efficientnets
from zoo.models.catalog import find_entry

SIZE = 64


@pytest.fixture(scope="module")
def package_file():
    """The weights file of the package that the extra `imagenet` installs."""
    file = find_entry("efficientnet_lite0.imagenet").file
    return Path(distribution(file.distribution).locate_file(file.name))


@pytest.fixture(scope="module")
def tiny():
    """timm's small EfficientNet for tests, with 7 classes: 0.4 million parameters."""
    return timm.create_model("test_efficientnet", num_classes=7).eval()


def halved(state):
    return {name: tensor / 2 if tensor.is_floating_point() else tensor for name, tensor in state.items()}


def logits(network, x_BCHW):
    with torch.inference_mode():
        return network(x_BCHW)


@pytest.mark.parametrize("name", ["tf_efficientnet_lite2", "tf_efficientnet_b1"])
def test_every_tensor_of_an_efficientnet_gets_the_name_of_a_different_one_of_timm(name):
    with torch.device("meta"):
        state = timm.create_model(name).state_dict()
    theirs = [_name_of_efficientnet_pytorch(key, list(state)) for key in state]
    assert len(set(theirs)) == len(state) and name in possible_efficientnets(theirs)
    assert from_efficientnet(theirs, state) == dict(zip(theirs, state, strict=True))


def _name_of_efficientnet_pytorch(key, keys):
    """As that project's constructors assign the layers, in the order of a block's forward pass."""
    outside = {"conv_stem": "_conv_stem", "bn1": "_bn0", "conv_head": "_conv_head", "bn2": "_bn1", "classifier": "_fc"}
    if not key.startswith("blocks."):
        layer, _, rest = key.partition(".")
        return f"{outside[layer]}.{rest}"
    blocks = list(dict.fromkeys(".".join(other.split(".")[:3]) for other in keys if other.startswith("blocks.")))
    block, (layer, *rest) = ".".join(key.split(".")[:3]), key.split(".")[3:]
    if layer == "se":
        layer, *rest = rest
    has_expansion = f"{block}.conv_pwl.weight" in keys
    layers = {"conv_dw": "_depthwise_conv", "conv_reduce": "_se_reduce", "conv_expand": "_se_expand"} | (
        {"conv_pw": "_expand_conv", "bn1": "_bn0", "bn2": "_bn1", "conv_pwl": "_project_conv", "bn3": "_bn2"}
        if has_expansion
        else {"bn1": "_bn1", "conv_pw": "_project_conv", "bn2": "_bn2"}
    )
    return ".".join([f"_blocks.{blocks.index(block)}", layers[layer], *rest])


def test_a_tensor_that_is_missing_is_named(package_file, tmp_path):
    state = torch.load(package_file)
    del state["_blocks.3._expand_conv.weight"]
    assert refusal(state, tmp_path).endswith("is not a tf_efficientnet_lite0: blocks.2.0.conv_pw.weight is missing")


def test_another_number_of_classes_gives_a_fresh_head(package_file, tmp_path):
    checkpoint, report = imported(torch.load(package_file), tmp_path, num_classes=3)
    assert report.dropped == ("_fc.weight", "_fc.bias") and report.missing == ("classifier.weight", "classifier.bias")
    assert checkpoint.spec.certified.has_trained_head is False and len(checkpoint.spec.certified.class_names) == 3


@pytest.fixture
def trained_by_timm(tiny, tmp_path):
    """A checkpoint of timm's own saver; the running average has half the weights."""
    averaged = ModelEmaV3(tiny)
    averaged.module.load_state_dict(halved(tiny.state_dict()))
    optimizer = torch.optim.SGD(tiny.parameters(), lr=0.1, momentum=0.9)
    arguments = argparse.Namespace(model="test_efficientnet.r160_in1k", lr=0.1, crop_pct=None)
    saver = CheckpointSaver(tiny, optimizer, args=arguments, model_ema=averaged, checkpoint_dir=str(tmp_path))
    saver.save_checkpoint(3, metric=81.0)
    return tmp_path / "last.pth.tar"


@pytest.mark.parametrize(("network", "is_averaged"), [(None, True), ("state_dict_ema", True), ("state_dict", False)])
def test_timms_own_checkpoint_is_read_and_says_whether_the_weights_are_averaged(
    network, is_averaged, trained_by_timm, tiny, tmp_path, zoo_command
):
    chosen = [] if network is None else ["--network", network]
    output = tmp_path / "checkpoint"
    done = zoo_command(
        "import", trained_by_timm, "--normalization", "inception", "--image-size", SIZE, *chosen, "--output", output,
        "--json",
    )  # fmt: skip
    facts = json.loads(done.out)
    assert (facts["format"], facts["architecture"], facts["averaged"]) == ("timm", "test_efficientnet", is_averaged)
    place = "state_dict_ema" if is_averaged else "state_dict"
    words = "a running average" if is_averaged else "those of the last step, not averaged"
    assert f"the weights are {words} ({place})" in done.err
    checkpoint, expected = open_checkpoint(output), tiny.state_dict()
    assert checkpoint.spec.certified.origin.network == place
    weight = checkpoint.load_network().backbone.conv_stem.weight
    assert torch.equal(weight, expected["conv_stem.weight"] / (2 if is_averaged else 1))


@pytest.mark.parametrize("name", ["test_vit", "test_convnext", "test_resnet"])
def test_a_state_dict_of_a_named_network_is_found_below_any_prefix(name, tmp_path):
    theirs = timm.create_model(name, num_classes=5).eval()
    content = {"anything": prefixed("_orig_mod.", theirs.state_dict())}
    size = theirs.pretrained_cfg["input_size"][-1]
    checkpoint, report = imported(content, tmp_path, architecture=name, image_size=size)
    assert (report.num_classes, report.unexpected, report.missing) == (5, (), ())
    x_BCHW = torch.rand(1, 3, size, size)
    assert torch.equal(logits(checkpoint.load_network(), x_BCHW), logits(theirs, x_BCHW))


def test_a_network_that_nothing_names_asks_for_its_architecture(tiny, tmp_path):
    message = refusal(tiny.state_dict(), tmp_path)
    assert message.endswith("for another network of timm add --architecture NAME")
    named = {"arch": "test_vit", "state_dict": tiny.state_dict()}
    assert "contains no test_vit in any known format" in refusal(named, tmp_path)
