"""A file with several networks: each is named, the right one or the chosen one is imported, and none silently."""

from pathlib import Path

import pytest
import torch

from tests.zoo.importing.foreign_files import (
    MEAN_C11,
    STD_C11,
    lightning,
    numbered,
    prefixed,
    projector,
    robustness,
    without_head,
)
from tests.zoo.importing.running import imported, refusal
from zoo.checkpoints.checkpoint import open_checkpoint
from zoo.errors import ForeignCheckpointError, UnknownNameError
from zoo.importing.extraction import extract
from zoo.importing.files import ForeignFile
from zoo.importing.location import locate_network

FILE = Path("foreign.pth")


@pytest.fixture(scope="module")
def raw(small):
    """The weights at the end of training."""
    return small.state_dict()


@pytest.fixture(scope="module")
def averaged(raw):
    """Other weights of the same network, as a running average would be."""
    return {key: tensor * 1.5 if tensor.is_floating_point() else tensor for key, tensor in raw.items()}


# How real training scripts store two networks: the file, and the names of the raw and of the averaged one.
TWO_NETWORKS = {
    "torchvision": (
        lambda raw, ema: {"model": raw, "model_ema": prefixed("module.", ema) | {"n_averaged": torch.tensor(9)}},
        ("model", "model_ema/module"),
    ),
    "deit": (lambda raw, ema: {"model": raw, "model_ema": ema, "scaler": {}}, ("model", "model_ema")),
    "mean-teacher": (lambda raw, ema: {"state_dict": raw, "ema_state_dict": ema}, ("state_dict", "ema_state_dict")),
    "dino": (
        lambda raw, ema: {
            "student": prefixed("module.backbone.", raw) | projector("module.head."),
            "teacher": prefixed("backbone.", ema) | projector("head."),
        },
        ("student/module.backbone", "teacher/backbone"),
    ),
    "lightning-weight-averaging": (
        lambda raw, ema: lightning(prefixed("net.", ema)) | {"current_model_state": prefixed("net.", raw)},
        ("current_model_state/net", "state_dict/net"),
    ),
    "lightning-callback": (
        lambda raw, ema: (
            lightning(prefixed("model.", raw)) | {"callbacks": {"EMA": {"shadow": prefixed("model.", ema)}}}
        ),
        ("state_dict/model", "callbacks/EMA/shadow/model"),
    ),
    "one-state-dict": (
        lambda raw, ema: lightning(prefixed("model.", raw) | prefixed("ema_model.module.", ema)),
        ("state_dict/model", "state_dict/ema_model.module"),
    ),
    "moco": (
        lambda raw, ema: {
            "arch": "resnet10-quarter",
            "state_dict": prefixed("module.encoder_q.", raw) | prefixed("module.encoder_k.", ema),
        },
        ("state_dict/module.encoder_q", "state_dict/module.encoder_k"),
    ),
    "swa": (lambda raw, ema: {"net": raw, "swa": prefixed("module.", ema)}, ("net", "swa/module")),
    "ema-pytorch": (
        lambda raw, ema: prefixed("online_model.", raw) | prefixed("ema_model.", ema) | {"step": torch.tensor(1)},
        ("online_model", "ema_model"),
    ),
    "bare-beside-bare": (lambda raw, ema: raw | prefixed("ema.", ema), (".", "ema")),
    "list": (lambda raw, ema: {"members": [raw, ema]}, ("members/0", "members/1")),
    "numbered": (
        lambda raw, ema: {"state_dict": prefixed("net.", numbered(raw)) | prefixed("ema.", numbered(ema))},
        ("state_dict/net", "state_dict/ema"),
    ),
}


def taken(content, **options):
    """The network that is located in a file with that content, and its tensors."""
    located = locate_network(ForeignFile(path=FILE, sha256="", content=content), **options)
    return located, extract(located, path=FILE)


def are_those(extracted, state):
    """Whether the tensors are exactly those of the state dict."""
    return extracted.tensors.keys() == state.keys() and all(
        torch.equal(tensor, state[name]) for name, tensor in extracted.tensors.items()
    )


@pytest.mark.parametrize("name", TWO_NETWORKS)
def test_two_networks_with_other_weights_ask_for_a_choice_and_each_can_be_chosen(name, raw, averaged):
    make, names = TWO_NETWORKS[name]
    content = make(raw, averaged)
    with pytest.raises(
        ForeignCheckpointError, match=r"several networks with different weights.*Add --network"
    ) as asked:
        taken(content)
    assert set(str(asked.value).partition("weights: ")[2].partition(". Add")[0].split(", ")) == set(names)
    for chosen, other, state in zip(names, reversed(names), (raw, averaged), strict=True):
        located, extracted = taken(content, network=chosen)
        assert are_those(extracted, state)
        assert (located.place.name, located.other_networks) == (chosen, (other,))


def timm(raw, averaged):
    """A checkpoint of timm's training script."""
    return {"epoch": 9, "arch": "resnet10-quarter", "state_dict": raw, "state_dict_ema": averaged, "metric": 81.0}


def test_the_averaged_weights_of_timms_file_are_taken_as_timm_takes_them(raw, averaged, tmp_path):
    checkpoint, report = imported(timm(raw, averaged), tmp_path)
    assert torch.equal(checkpoint.load_network().backbone.fc.weight, averaged["fc.weight"])
    assert (report.format, report.network, report.other_networks) == ("timm", "state_dict_ema", ("state_dict",))
    assert open_checkpoint(checkpoint.path).spec.certified.origin.network == "state_dict_ema"


def test_the_raw_weights_of_timms_file_can_be_chosen(raw, averaged):
    located, extracted = taken(timm(raw, averaged), network="state_dict")
    assert are_those(extracted, raw) and located.other_networks == ("state_dict_ema",)


def test_another_format_than_timms_does_not_pass_over_the_averaged_weights(raw, averaged, tmp_path):
    assert "state_dict, state_dict_ema" in refusal(timm(raw, averaged), tmp_path, format="torchvision")


def test_a_network_that_its_project_does_not_evaluate_is_named_and_asks_for_no_choice(raw, averaged):
    state = prefixed("backbone.", without_head(raw)) | prefixed("momentum_backbone.", without_head(averaged))
    located, extracted = taken(lightning(state))
    assert (located.format, located.other_networks) == ("solo-learn", ("state_dict/momentum_backbone",))
    assert are_those(extracted, without_head(raw))


def test_an_equal_copy_is_named_and_asks_for_no_choice(raw):
    copy = {key: tensor.clone() for key, tensor in raw.items()}
    assert taken({"state_dict": raw, "ema_state_dict": copy})[0].other_networks == ("ema_state_dict",)


def test_a_file_with_one_network_records_no_choice(raw, tmp_path):
    checkpoint, report = imported({"state_dict": raw}, tmp_path)
    assert report.other_networks == () and '"network"' not in (checkpoint.path / "config.json").read_text()


def test_averages_that_are_no_state_dict_are_counted(raw):
    content = {"state_dict": raw, "ema": {"decay": 0.999, "shadow_params": list(raw.values())}, "epoch": 1}
    assert taken(content)[0].unread == {"ema": len(raw)}


def test_an_unknown_network_lists_those_in_the_file(raw, averaged):
    with pytest.raises(
        UnknownNameError, match=r"unknown network 'state_dict_emma'; known: state_dict, state_dict_ema\."
    ):
        taken(timm(raw, averaged), network="state_dict_emma")


def test_a_file_that_contains_itself_is_searched_once(raw):
    content = {"state_dict": raw}
    content["again"] = content
    assert taken(content)[0].other_networks == ()


@pytest.mark.parametrize("prefix", ["_orig_mod.", "net.", "ema_model.", "module.", "_orig_mod.module.", "a.b.c."])
@pytest.mark.parametrize("container", [(), ("state_dict",), ("anything",)])
def test_one_prefix_before_a_complete_network_is_taken_off(prefix, container, raw):
    content = prefixed(prefix, raw)
    for key in container:
        content = {key: content}
    _, extracted = taken(content)
    assert are_those(extracted, raw) and extracted.unexpected == ()


@pytest.mark.parametrize("prefix", ["_orig_mod.module.", "wrapped."])
def test_the_normalization_below_a_prefix_is_found(prefix, raw):
    buffers = {"normalize.mean": MEAN_C11, "normalize.std": STD_C11}
    _, extracted = taken(prefixed(prefix, prefixed("model.", raw) | buffers))
    assert extracted.normalization.mean == (0.485, 0.456, 0.406) and are_those(extracted, raw)


def test_a_compiled_network_of_madrys_keeps_its_normalization(raw):
    located, extracted = taken({"model": prefixed("_orig_mod.", robustness(raw))})
    assert extracted.normalization.mean == (0.485, 0.456, 0.406) and are_those(extracted, raw)
    assert located.other_networks == ("model/_orig_mod.module.attacker.model",)


def test_a_prefix_before_an_incomplete_network_is_refused_with_the_missing_tensor(raw, tmp_path):
    state = {key: tensor for key, tensor in raw.items() if key != "layer3.0.conv2.weight"}
    assert "layer3.0.conv2.weight is missing" in refusal(prefixed("net.", state), tmp_path)
