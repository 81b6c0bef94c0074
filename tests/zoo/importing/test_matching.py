"""All of a network must be there and fit; only its head may be new."""

import pytest
import timm
import torch
from torch import nn
from torchvision.models import resnet

from tests.zoo.importing.foreign_files import cohen, prefixed, robustness, without_head
from tests.zoo.importing.running import imported, refusal
from zoo.importing.importer import ImportOptions, import_file


@pytest.mark.parametrize(
    "missing", ["conv1.weight", "layer3.0.conv2.weight", "layer2.0.downsample.0.weight", "bn1.running_var"]
)
def test_a_missing_tensor_is_refused_by_its_name(missing, small, tmp_path):
    state = dict(small.state_dict())
    del state[missing]
    assert f"is not a resnet10-quarter: {missing} is missing" in refusal(state, tmp_path)


def test_a_missing_convolution_of_a_resnet50_is_refused_by_its_name(resnet50, tmp_path):
    state = {key: tensor for key, tensor in resnet50.state_dict().items() if key != "layer3.4.conv2.weight"}
    message = refusal({"model": robustness(state)}, tmp_path, normalization=None)
    assert message.endswith("is not a resnet50: layer3.4.conv2.weight is missing")


def test_a_tensor_of_another_shape_is_refused_with_both(small, tmp_path):
    state = small.state_dict() | {"layer1.0.conv2.weight": torch.zeros(16, 16, 5, 5)}
    expected = "layer1.0.conv2.weight has shape (16, 16, 5, 5), expected (16, 16, 3, 3)"
    assert refusal(state, tmp_path).endswith(expected)


def test_one_tensor_more_is_refused_for_the_network_would_not_use_it(small, tmp_path):
    state = small.state_dict() | {"layer1.0.attention.weight": torch.zeros(2)}
    assert refusal(state, tmp_path).endswith("layer1.0.attention.weight is not in the architecture")


def test_a_network_of_another_family_is_said_to_differ(tmp_path):
    message = refusal(resnet.wide_resnet50_2(num_classes=2).state_dict(), tmp_path)
    assert "is not a resnet50: layer1.0.conv1.weight has shape (128, 64, 1, 1)" in message
    assert "more differences" in message


def test_a_stated_architecture_is_what_the_file_is_compared_with(small, tmp_path):
    message = refusal(small.state_dict(), tmp_path, architecture="resnet18")
    assert "is not a resnet18: layer1.1.conv1.weight is missing" in message


def test_the_architecture_that_the_file_states_is_what_it_is_compared_with(small, tmp_path):
    message = refusal({"arch": "resnet34", "state_dict": prefixed("1.", small.state_dict())}, tmp_path)
    assert "is not a resnet34: layer1.1.conv1.weight is missing" in message


def test_a_resnet_for_small_images_is_refused_in_a_clear_sentence(small, tmp_path):
    state = small.state_dict() | {"conv1.weight": torch.zeros(16, 3, 3, 3)}
    message = refusal(cohen(prefixed("1.", state), "cifar_resnet110"), tmp_path)
    assert "a ResNet for small images (its first convolution is 3x3" in message and "resnet50" in message


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_tensor_that_is_not_finite_is_refused(value, small, tmp_path):
    state = small.state_dict() | {"layer2.0.bn1.running_mean": torch.full((32,), value)}
    assert refusal(state, tmp_path).endswith("layer2.0.bn1.running_mean contains a value that is not finite")


def test_a_value_that_does_not_fit_into_float32_is_refused(small, tmp_path):
    state = small.state_dict() | {"bn1.bias": torch.full((64,), 1e300, dtype=torch.float64)}
    assert "bn1.bias contains a value that is not finite" in refusal(state, tmp_path)


def test_integers_are_no_weights(small, tmp_path):
    state = small.state_dict() | {"bn1.bias": torch.zeros(64, dtype=torch.int8)}
    assert "bn1.bias is torch.int8, expected floating point" in refusal(state, tmp_path)


def test_a_tensor_without_values_is_refused(small, tmp_path):
    state = small.state_dict() | {"bn1.bias": torch.empty(64, device="meta")}
    assert "bn1.bias is quantized, sparse or without values" in refusal(state, tmp_path)


@pytest.mark.parametrize("shape", [(64,), (10**12,), (10**6, 10**6)])
def test_a_tensor_that_states_more_values_than_it_stores_is_refused(shape, small, tmp_path):
    state = small.state_dict() | {"bn1.bias": torch.zeros(1).expand(shape)}
    assert "bn1.bias states" in refusal(state, tmp_path)


def test_views_that_store_all_their_values_are_taken(small, tmp_path):
    state = dict(small.state_dict())
    state["conv1.weight"] = state["conv1.weight"].to(memory_format=torch.channels_last)
    state["bn1.bias"] = torch.arange(2.0 * len(state["bn1.bias"]))[::2]
    taken = imported(state, tmp_path)[0].load_network().backbone.state_dict()
    assert all(torch.equal(taken[name], state[name]) for name in ("conv1.weight", "bn1.bias"))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_become_float32(dtype, small, tmp_path):
    state = {k: v.to(dtype) if v.is_floating_point() else v for k, v in small.state_dict().items()}
    network = imported(state, tmp_path)[0].load_network()
    assert {tensor.dtype for tensor in network.parameters()} == {torch.float32}
    assert torch.equal(network.backbone.conv1.weight, state["conv1.weight"].float())


def test_the_counter_of_batches_may_be_missing(small, tmp_path):
    state = {k: v for k, v in small.state_dict().items() if not k.endswith("num_batches_tracked")}
    checkpoint, report = imported(state, tmp_path)
    assert len(report.missing) == 13 and all(name.endswith("num_batches_tracked") for name in report.missing)
    assert checkpoint.spec.certified.has_trained_head and checkpoint.load_network().backbone.bn1.running_var is not None


def test_an_import_draws_nothing_from_torchs_global_generator(small, tmp_path):
    before = torch.random.get_rng_state()
    imported(without_head(small.state_dict()), tmp_path, num_classes=3)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_files_own_head_is_taken_where_it_has_the_size_that_is_asked_for(small, tmp_path):
    checkpoint, report = imported(small.state_dict(), tmp_path, num_classes=4)
    assert report.has_trained_head and report.dropped == ()
    assert torch.equal(checkpoint.load_network().backbone.fc.weight, small.fc.weight)


def test_a_head_of_another_size_gives_way_to_a_fresh_one(small, tmp_path):
    checkpoint, report = imported(small.state_dict(), tmp_path, num_classes=9)
    assert (report.has_trained_head, report.num_classes) == (False, 9)
    assert report.dropped == report.missing == ("fc.weight", "fc.bias")
    assert not checkpoint.spec.certified.has_trained_head and len(checkpoint.spec.certified.class_names) == 9
    fresh = checkpoint.load_network().backbone.fc.weight  # as nn.Linear(128, 9) is initialized: U(-b, b), b = 128^-1/2
    assert 0.9 * 128**-0.5 < fresh.abs().max() <= 128**-0.5 and abs(fresh.mean()) < 0.01


def test_the_same_file_gives_the_same_fresh_head(small, tmp_path):
    first = imported(without_head(small.state_dict()), tmp_path, num_classes=9)[0]
    again = import_file(
        tmp_path / "foreign.pth", tmp_path / "again", ImportOptions(normalization="none", num_classes=9)
    )[0]
    assert first.weights_sha256 == again.weights_sha256


def test_where_there_is_no_head_the_number_of_classes_must_be_said(small, tmp_path):
    assert "add --num-classes K for a fresh head" in refusal(without_head(small.state_dict()), tmp_path)


def test_a_fresh_head_may_be_asked_for(small, tmp_path):
    checkpoint, report = imported(small.state_dict(), tmp_path, num_classes=4, fresh_head=True)
    assert not report.has_trained_head
    assert not torch.equal(checkpoint.load_network().backbone.fc.weight, small.fc.weight)


def test_a_head_with_hidden_layers_is_refused_unless_a_fresh_one_is_asked_for(small, tmp_path):
    hidden = nn.Sequential(nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 4))
    state = without_head(small.state_dict()) | prefixed("fc.", hidden.state_dict())
    assert "a head with hidden layers (fc.0.weight): add --fresh-head" in refusal(state, tmp_path)
    report = imported(state, tmp_path, num_classes=4, fresh_head=True)[1]
    assert set(report.dropped) == {"fc.0.weight", "fc.0.bias", "fc.2.weight", "fc.2.bias"}


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        ({"fc.weight": torch.ones(4, 128)}, "fc.bias is missing, but fc.weight is present"),
        (
            {"fc.weight": torch.ones(4, 64), "fc.bias": torch.ones(4)},
            "are not a head of K > 1 classes on 128 features",
        ),
        ({"fc.weight": torch.ones(4, 128), "fc.bias": torch.ones(5)}, "fc.weight (4, 128) and fc.bias (5,)"),
        ({"fc.weight": torch.ones(1, 128), "fc.bias": torch.ones(1)}, "are not a head of K > 1 classes"),
        ({"fc.weight": torch.ones(4, 128), "fc.bias": torch.tensor(1.0)}, "are not a head of K > 1 classes"),
    ],
)
def test_a_head_that_does_not_fit_is_refused(head, reason, small, tmp_path):
    assert reason in refusal(without_head(small.state_dict()) | head, tmp_path)


@pytest.mark.parametrize("states_it", [True, False])
def test_a_file_of_any_timm_network_is_taken_by_its_name(states_it, tmp_path):
    name = "mobilenetv3_small_050"
    state = timm.create_model(name, num_classes=3).state_dict()
    content, options = ({"state_dict_ema": state, "arch": name}, {}) if states_it else (state, {"architecture": name})
    checkpoint, report = imported(content, tmp_path, image_size=32, **options)
    assert (report.architecture, report.num_classes, report.missing) == (name, 3, ())
    taken = checkpoint.load_network().backbone.state_dict()
    assert all(torch.equal(taken[key], tensor) for key, tensor in state.items())


def test_a_file_that_lacks_a_tensor_of_the_named_timm_network_is_refused(small, tmp_path):
    assert "contains no convnext_atto in any known format" in refusal(
        small.state_dict(), tmp_path, architecture="convnext_atto"
    )
    state = dict(timm.create_model("convnext_atto", num_classes=3).state_dict())
    del state["stages.1.blocks.0.norm.bias"]
    message = refusal(state, tmp_path, architecture="convnext_atto")
    assert message.endswith("is not a convnext_atto: stages.1.blocks.0.norm.bias is missing")
