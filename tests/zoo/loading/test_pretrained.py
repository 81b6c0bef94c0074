"""The network that `zoo.load` returns: strict, and never published with results that are not its own."""

import json

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import zoo
from tests.loopback_hub import Repository
from tests.zoo.cards.test_card import CERTIFICATION
from tests.zoo.checkpoints.test_writing import ROWS
from zoo.checkpoints.checkpoint import open_checkpoint, sha256_of
from zoo.checkpoints.writing import record_results, save_checkpoint
from zoo.errors import CheckpointError, ImageError, RequestError
from zoo.models.architecture import build_network
from zoo.models.layout import WEIGHTS
from zoo.models.preprocessing import prepare
from zoo.models.spec import CertifiedConfig, ModelSpec, Preprocessing

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:httpx2")

PREPROCESSING = Preprocessing(resize=40, crop=32, mean=(0.5, 0.4, 0.3))


@pytest.fixture
def measured(tmp_path):
    """A checkpoint of random weights that has a certification."""
    certified = CertifiedConfig(
        objective="gaussian", sigma=0.5, task="t", class_names=tuple("abcd"), seed=0, epochs=1, recipe_digest="0",
        preprocessing=PREPROCESSING,
    )  # fmt: skip
    network = build_network("resnet10-quarter", num_classes=4, preprocessing=PREPROCESSING)
    network.train()(torch.rand(8, 3, 32, 32))
    spec = ModelSpec(architecture="resnet10-quarter", num_classes=4, certified=certified)
    return record_results(save_checkpoint(tmp_path / "measured", network, spec), certification=(CERTIFICATION, ROWS))


@pytest.fixture
def logged_in(hub, monkeypatch, tmp_path):
    """Alice's login at the loopback Hub, with a cache of the test's own."""
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
    monkeypatch.setenv("HF_TOKEN", "hf_alice")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    return hub


def rewrite_weights(path, **changed):
    """Puts other tensors into a checkpoint's weights, and makes the manifest fit."""
    weights = load_file(path / WEIGHTS) | changed
    save_file({name: tensor for name, tensor in weights.items() if tensor is not None}, path / WEIGHTS)
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["files"][WEIGHTS]["sha256"] = sha256_of(path / WEIGHTS)
    (path / "manifest.json").write_text(json.dumps(manifest))


def test_an_unchanged_network_is_saved_with_all_that_was_measured_of_it(measured, tmp_path):
    saved = zoo.load(measured.path).save_pretrained(tmp_path / "saved")
    assert saved.files == measured.files and saved.spec == measured.spec


def test_a_changed_network_is_saved_without_results_and_names_its_parent(measured, tmp_path):
    network = zoo.load(measured.path)
    with torch.no_grad():
        network.backbone.fc.bias[0] += 1e-3
    saved = network.save_pretrained(tmp_path / "saved")
    certified = saved.spec.certified
    assert (certified.certification, certified.recipe_digest, certified.epochs) == (None, None, None)
    assert (certified.objective, certified.parent) == ("unknown", measured.weights_sha256)
    assert (certified.sigma, certified.class_names) == (0.5, tuple("abcd"))
    assert (
        "certification.tsv" not in saved.files and "certified accuracy at" not in (saved.path / "README.md").read_text()
    )
    assert torch.equal(zoo.load(saved.path).backbone.fc.bias, network.backbone.fc.bias)


def test_a_network_that_its_spec_no_longer_describes_is_not_saved(measured, tmp_path):
    network = zoo.load(measured.path)
    network.backbone.fc = torch.nn.Linear(128, 7)
    with pytest.raises(RequestError, match=r"no longer a resnet10-quarter of 4 classes.*size mismatch for fc"):
        network.save_pretrained(tmp_path / "saved")
    assert not (tmp_path / "saved").exists()


def test_nothing_is_saved_over_something_else(measured, tmp_path):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").write_text("precious")
    for taken in (tmp_path / "taken", tmp_path / "taken" / "file", measured.path):
        with pytest.raises(RequestError, match="is not an empty directory"):
            zoo.load(measured.path).save_pretrained(taken)


def test_what_is_pushed_comes_back_from_pretrained(measured, logged_in):
    network = zoo.load(measured.path)
    commit = network.push_to_hub("alice/network", commit_message="By the mixin's method")
    assert logged_in.repository("alice/network").head.title == "By the mixin's method"
    again = zoo.CertifiedNetwork.from_pretrained("alice/network", revision=commit.sha)
    assert again.checkpoint.files == measured.files and not again.training
    assert all(
        torch.equal(again.backbone.state_dict()[name], value) for name, value in network.backbone.state_dict().items()
    )


def test_there_is_no_fallback_to_a_pickle(logged_in):
    logged_in.repositories["alice/pickle"] = Repository(id="alice/pickle")
    logged_in.repository("alice/pickle").commit("Add", {"pytorch_model.bin": b"\x80", "config.json": b"{}"})
    with pytest.raises(CheckpointError, match="it may be a pickle"):
        zoo.CertifiedNetwork.from_pretrained("alice/pickle")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"fc.bias": None}, r"Missing key\(s\) in state_dict: \"fc\.bias\""),
        ({"fc.other": torch.zeros(1)}, r"Unexpected key\(s\) in state_dict: \"fc\.other\""),
        ({"fc.bias": torch.zeros(5)}, r"size mismatch for fc\.bias"),
        (
            {"fc.bias": torch.tensor([0.0, float("-inf"), float("inf"), 0.0])},
            r"fc\.bias contains a value that is not finite",
        ),
    ],
)
def test_weights_are_loaded_whole_or_not_at_all(measured, changed, said):
    rewrite_weights(measured.path, **changed)
    with pytest.raises(CheckpointError, match=said):
        zoo.load(measured.path)


def test_weights_whose_sum_overflows_are_finite_nevertheless(measured):
    rewrite_weights(measured.path, **{"fc.bias": torch.full((4,), 3e38)})
    assert zoo.load(measured.path).backbone.fc.bias.max() > 1e38


def test_weights_that_are_replaced_after_the_check_are_not_loaded(measured):
    opened = open_checkpoint(measured.path)
    rewrite_weights(measured.path, **{"fc.bias": torch.ones(4)})
    with pytest.raises(CheckpointError, match="has changed since it was opened"):
        opened.load_network()


def test_weights_of_another_precision_become_the_networks(measured, tmp_path):
    halved = load_file(measured.path / WEIGHTS)["conv1.weight"].half()
    rewrite_weights(measured.path, **{"conv1.weight": halved})
    loaded = zoo.load(measured.path)
    assert torch.equal(loaded.backbone.conv1.weight, halved.float())
    assert loaded(torch.rand(1, 3, 32, 32)).isfinite().all()
    assert loaded.save_pretrained(tmp_path / "saved").spec.certified.certification is not None, "they are unchanged"


def test_a_loaded_network_can_be_trained(measured):
    network = zoo.load(measured.path).train()
    network(torch.rand(2, 3, 32, 32)).sum().backward()
    assert all(parameter.grad is not None and not parameter.is_meta for parameter in network.parameters())


def test_a_picture_becomes_the_tensor_that_the_network_takes_in_every_way(measured, tmp_path):
    picture = Image.effect_noise((60, 48), 80).convert("RGB")
    picture.save(tmp_path / "picture.png")
    network, expected_CHW = zoo.load(measured.path), prepare(picture, PREPROCESSING)
    assert expected_CHW.shape == (3, 32, 32)
    for x_CHW in (
        network.transforms(picture),
        zoo.preprocess(picture, network),
        zoo.preprocess(tmp_path / "picture.png", network),
        zoo.preprocess(str(tmp_path / "picture.png"), str(measured.path)),
    ):
        assert torch.equal(x_CHW, expected_CHW)
    with pytest.raises(ImageError, match="more than 8 bits"):
        network.transforms(Image.new("I;16", (40, 40)))
    (tmp_path / "text.png").write_text("no picture")
    for file in ("text.png", "nothing.png"):
        with pytest.raises(ImageError, match=file):
            zoo.preprocess(tmp_path / file, network)
