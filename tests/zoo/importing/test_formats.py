"""A network that another project wrote answers here as it did there, and every key of its file is accounted for."""

import pytest
import timm
import torch
from safetensors.torch import save_file

from tests.zoo.importing.foreign_files import (
    CASES,
    IMAGENET,
    MEAN_C11,
    SMALL,
    STD_C11,
    X_BCHW,
    names_of,
    projector,
    random_network,
    robustness,
)
from zoo.errors import ForeignCheckpointError, UnknownNameError
from zoo.importing.formats import FORMATS
from zoo.importing.importer import ImportOptions, import_file
from zoo.importing.namings import EFFICIENTNET


def features_of(network, x_BCHW):
    """What the head of a ResNet is given."""
    head, network.fc = network.fc, torch.nn.Identity()
    try:
        return network(x_BCHW)
    finally:
        network.fc = head


def imported(content, tmp_path, **options):
    path = tmp_path / "foreign.pth"
    torch.save(content, path)
    return import_file(path, tmp_path / "checkpoint", ImportOptions(**options))


@pytest.fixture(scope="module")
def networks(resnet50, quarter):
    """Random networks by architecture."""
    return {"resnet50": resnet50, "resnet18": random_network("resnet18", num_classes=7), SMALL: quarter}


def answers_equal(checkpoint, network, *, has_head):
    """Whether the checkpoint on pixels answers bit for bit as the network on normalized pixels."""
    ours, normalized_BCHW = checkpoint.load_network(), (X_BCHW - MEAN_C11) / STD_C11
    with torch.inference_mode():
        if has_head:
            return torch.equal(ours(X_BCHW), network(normalized_BCHW))
        return torch.equal(features_of(ours.backbone, normalized_BCHW), features_of(network, normalized_BCHW))


def test_the_random_network_is_none_for_which_a_wrong_import_would_not_show(resnet50):
    with torch.inference_mode():
        logits_BK = resnet50((X_BCHW - MEAN_C11) / STD_C11)
        assert logits_BK.isfinite().all() and logits_BK.std() > 1e-3
        assert not torch.equal(logits_BK, resnet50(X_BCHW))


@pytest.mark.parametrize("case", CASES, ids=names_of(CASES))
def test_every_format_gives_identical_answers(case, networks, tmp_path):
    network = networks[case.architecture]
    content = case.make(network.state_dict())
    checkpoint, report = imported(
        content,
        tmp_path,
        format="auto" if case.is_detected else case.format,
        normalization=None if case.tells_normalization else "imagenet",
        num_classes=None if case.has_head else 5,
    )
    assert (report.format, report.architecture) == (case.format, case.architecture)
    assert answers_equal(checkpoint, network, has_head=case.has_head)
    certified = checkpoint.spec.certified
    assert (certified.preprocessing.mean, certified.preprocessing.std) == IMAGENET
    assert certified.has_trained_head == report.has_trained_head == case.has_head
    assert len(set(report.matched)) == len(network.state_dict()) - (0 if case.has_head else 2)
    assert report.missing == (() if case.has_head else ("fc.weight", "fc.bias")) and report.unexpected == ()


def test_every_row_of_the_table_has_a_resnet50():
    of_resnets = {name for name, row in FORMATS.items() if row.naming is not EFFICIENTNET}
    assert {case.format for case in CASES if case.architecture == "resnet50"} == of_resnets


def test_a_state_dict_that_timm_made_is_taken(tmp_path):
    theirs = timm.create_model("resnet50", num_classes=1000).eval()
    checkpoint, report = imported(theirs.state_dict(), tmp_path, format="timm", normalization="imagenet")
    assert len(report.matched) == 320
    with torch.inference_mode():
        same = torch.allclose(checkpoint.load_network()(X_BCHW), theirs((X_BCHW - MEAN_C11) / STD_C11), atol=1e-5)
    assert same


@pytest.mark.parametrize("architecture", ["resnet34", "resnet18"])
def test_smaller_networks_are_recognized_by_their_tensors(architecture, tmp_path):
    network = random_network(architecture, num_classes=3)
    checkpoint, report = imported(network.state_dict(), tmp_path, normalization="imagenet")
    assert (report.architecture, report.num_classes) == (architecture, 3)
    assert answers_equal(checkpoint, network, has_head=True)


def test_our_own_small_network_is_recognized(tmp_path):
    from zoo.models.resnets import QuarterResNet

    report = imported(QuarterResNet(4).state_dict(), tmp_path, normalization="none")[1]
    assert report.architecture == "resnet10-quarter"


def test_safetensors_are_read_as_well(quarter, tmp_path):
    path = tmp_path / "foreign.safetensors"
    save_file({key: tensor.clone() for key, tensor in robustness(quarter.state_dict()).items()}, path)
    checkpoint, report = import_file(path, tmp_path / "checkpoint", ImportOptions())
    assert report.format == "madry" and answers_equal(checkpoint, quarter, has_head=True)


def test_the_file_format_before_zip_archives_is_read_as_well(quarter, tmp_path):
    path = tmp_path / "foreign.pth.tar"
    torch.save(quarter.state_dict(), path, _use_new_zipfile_serialization=False)
    checkpoint, _ = import_file(path, tmp_path / "checkpoint", ImportOptions(normalization="imagenet"))
    assert answers_equal(checkpoint, quarter, has_head=True)


def test_dropped_and_unexpected_keys_are_told_apart_by_their_names_in_the_file(quarter, tmp_path):
    content = {"model": robustness(quarter.state_dict()) | projector("module.extra.") | {"note": "hello"}}
    report = imported(content, tmp_path)[1]
    assert set(report.unexpected) == {"module.extra.0.weight", "module.extra.2.weight", "note"}
    assert {"module.normalizer.new_mean", "module.attacker.model.conv1.weight"} <= set(report.dropped)
    assert "module.model.conv1.weight" in report.matched and report.container == "model"


def test_attacker_copies_that_differ_are_refused(quarter, tmp_path):
    state = robustness(quarter.state_dict())
    state["module.attacker.model.layer3.0.conv1.weight"] = torch.zeros_like(state["module.model.layer3.0.conv1.weight"])
    with pytest.raises(ForeignCheckpointError, match=r"contradicts itself: module\.attacker\.model\.layer3\.0\.conv1"):
        imported({"model": state}, tmp_path)


def test_copies_of_equal_values_in_other_storage_are_not_refused(quarter, tmp_path):
    state = {key: tensor.clone() for key, tensor in robustness(quarter.state_dict()).items()}
    assert imported({"model": state}, tmp_path)[1].format == "madry"


def test_an_unknown_format_lists_the_known_ones(quarter, tmp_path):
    with pytest.raises(UnknownNameError, match="known: auto, cohen, crt, efficientnet-pytorch, lightly"):
        imported(quarter.state_dict(), tmp_path, format="keras")


def test_another_format_than_the_files_says_what_the_file_holds(quarter, tmp_path):
    with pytest.raises(
        ForeignCheckpointError, match=r"no ResNet in the format mair \(MAIR\); its keys are conv1\.weight"
    ):
        imported(quarter.state_dict(), tmp_path, format="mair")


@pytest.mark.parametrize("content", [{}, {"features.0.weight": torch.ones(3)}, {"state_dict": {"epoch": 3}}])
def test_a_file_without_a_resnet_is_refused(content, tmp_path):
    with pytest.raises(ForeignCheckpointError, match="no ResNet in any known format"):
        imported(content, tmp_path)
