"""A checkpoint directory: loads elsewhere, and is refused at the first wrong byte."""

import dataclasses
import shutil

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import load_file
from timm.data import create_transform, resolve_data_config

import zoo
from zoo.checkpoints.checkpoint import open_checkpoint
from zoo.checkpoints.writing import save_checkpoint
from zoo.errors import CertificationError, CheckpointError, RequestError
from zoo.models.architecture import ARCHITECTURES, build_network
from zoo.models.preprocessing import to_bytes_CHW
from zoo.models.spec import CertifiedConfig, ModelSpec, Preprocessing, TimmNetwork

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)


def saved(path, architecture, *, sigma=0.5):
    """A checkpoint of a random network whose batch-norm statistics are not trivial."""
    preprocessing = Preprocessing(resize=32, crop=32, mean=MEAN, std=STD)
    network = build_network(architecture, num_classes=4, preprocessing=preprocessing)
    network.train()(torch.rand(8, 3, 32, 32))
    certified = CertifiedConfig(
        objective="gaussian", sigma=sigma, task="t", class_names=tuple("abcd"), seed=0, epochs=1,
        recipe_digest="0", preprocessing=preprocessing,
    )  # fmt: skip
    spec = ModelSpec(architecture=architecture, num_classes=4, certified=certified)
    return save_checkpoint(path, network, spec, split={"train": [0, 1]}), network.eval()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_timm_loads_a_checkpoint_and_its_logits_equal_ours(architecture, tmp_path):
    _, network = saved(tmp_path, architecture)
    theirs = timm.create_model(f"local-dir:{tmp_path}", pretrained=True).eval()
    config = theirs.pretrained_cfg
    x_BCHW = torch.rand(3, *config["input_size"])
    mean, std = (torch.tensor(config[name]).view(3, 1, 1) for name in ("mean", "std"))
    with torch.inference_mode():
        assert torch.allclose(theirs((x_BCHW - mean) / std), network(x_BCHW), atol=1e-5)
        assert torch.allclose(zoo.load(str(tmp_path))(x_BCHW), network(x_BCHW))


def test_timm_resizes_and_centres_a_padded_picture_alike_and_pads_with_the_mean():
    pixels = np.random.default_rng(0).integers(0, 255, (50, 70, 3), dtype=np.uint8)
    preprocessing = Preprocessing(resize=32, crop=32, fit="pad", mean=MEAN, std=STD)
    config = ModelSpec(
        architecture="resnet18",
        num_classes=1,
        certified=CertifiedConfig(
            objective="o", task="t", class_names=("a",), has_trained_head=False, preprocessing=preprocessing
        ),
    ).to_config(TimmNetwork(name="resnet18"))["pretrained_cfg"]
    transform = create_transform(**resolve_data_config(pretrained_cfg=config), normalize=False)
    theirs, ours = transform(Image.fromarray(pixels)), to_bytes_CHW(Image.fromarray(pixels), preprocessing)
    border = torch.ones(32, 32, dtype=torch.bool)
    border[4:27] = False  # round(50 * 32 / 70) = 23 rows
    assert config["crop_mode"] == "border" and torch.equal(theirs[:, ~border], ours[:, ~border])
    with pytest.raises(ValueError, match="height and width must be > 0"):
        transform(Image.new("RGB", (1000, 1)))
    assert (ours[:, border] == 255).all() and theirs[:, 0, 0].tolist() == [round(255 * mean) for mean in MEAN]


def test_torchvision_loads_the_weights_strictly(tmp_path):
    from torchvision.models import resnet18

    saved(tmp_path, "resnet18")
    resnet18(num_classes=4).load_state_dict(load_file(tmp_path / "model.safetensors"), strict=True)


def test_the_smoothed_classifier_of_a_checkpoint_has_its_sigma(tmp_path):
    saved(tmp_path, "resnet10-quarter", sigma=0.25)
    assert zoo.smooth(str(tmp_path), backend="torch").smoothing.sigma == 0.25


def test_a_checkpoint_without_sigma_is_not_smoothed(tmp_path):
    saved(tmp_path, "resnet10-quarter", sigma=None)
    with pytest.raises(CertificationError, match="has no sigma"):
        zoo.smooth(str(tmp_path))


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "README.md", "split.json"])
def test_one_changed_byte_is_refused_with_the_file_and_both_hashes(name, tmp_path):
    checkpoint, _ = saved(tmp_path, "resnet10-quarter")
    content = bytearray((tmp_path / name).read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError) as refused:
        open_checkpoint(tmp_path)
    message = str(refused.value)
    assert str(tmp_path / name) in message and checkpoint.files[name] in message
    assert len([word for word in message.replace(",", " ").split() if len(word) == 64]) == 2


def test_a_missing_file_is_named(tmp_path):
    saved(tmp_path, "resnet10-quarter")
    (tmp_path / "split.json").unlink()
    with pytest.raises(CheckpointError, match=r"split\.json is missing"):
        open_checkpoint(tmp_path)


@pytest.mark.parametrize(
    "manifest",
    [
        "",
        "{}",
        '{"files": {"serving.py": {"sha256": "0"}}}',
        '{"files": 3}',
        '{"files": {"../x": {"sha256": "0"}}}',
        '{"files": {".x": {"sha256": "0"}}}',
        '{"files": {}}',
    ],
)
def test_a_damaged_manifest_is_refused(manifest, tmp_path):
    saved(tmp_path, "resnet10-quarter")
    (tmp_path / "manifest.json").write_text(manifest)
    with pytest.raises(CheckpointError, match=r"manifest\.json"):
        open_checkpoint(tmp_path)


def test_a_directory_without_a_manifest_is_no_checkpoint(tmp_path):
    with pytest.raises(CheckpointError, match="not a checkpoint directory"):
        open_checkpoint(tmp_path)


def test_weights_of_another_shape_are_refused(tmp_path):
    small, _ = saved(tmp_path / "small", "resnet10-quarter")
    checkpoint, _ = saved(tmp_path / "large", "resnet18")
    shutil.copy(tmp_path / "small" / "model.safetensors", tmp_path / "large")
    with pytest.raises(CheckpointError, match="has changed since it was opened"):
        checkpoint.load_network()
    with pytest.raises(CheckpointError, match="does not fit resnet18"):
        dataclasses.replace(checkpoint, files=small.files).load_network()


@pytest.mark.parametrize("model", ["no-such-directory", "/no/such/directory", "./owner/name", "a/b/c"])
def test_what_is_neither_a_directory_nor_a_hub_id_is_said_to_be_so(model):
    with pytest.raises(RequestError, match="neither a directory nor a Hub id"):
        zoo.load(model)
