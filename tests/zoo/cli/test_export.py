"""`zoo export`: a described ONNX file that computes what the checkpoint's network does, or none."""

import hashlib
import json

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

import zoo
from zoo import hub as zoo_hub
from zoo.checkpoints.checkpoint import open_checkpoint

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:httpx2")


@pytest.fixture
def recorded(exported_digits):
    """A copy of the digits checkpoint after `zoo export COPY FILE --record --json`: copy, file and what was printed."""
    told = json.loads((exported_digits / "out.json").read_text())
    return exported_digits / "copy", exported_digits / "digits.onnx", told


def test_the_file_computes_the_networks_logits_for_any_batch(recorded):
    folder, file, _ = recorded
    network, session = zoo.load(folder), onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    for num_images in (1, 5):
        x_BCHW = 0.5 + 2 * torch.randn(num_images, 3, 32, 32, generator=torch.Generator().manual_seed(num_images))
        (found_BK,) = session.run(["logits"], {"image": x_BCHW.numpy()})
        with torch.inference_mode():
            assert np.allclose(found_BK, network(x_BCHW), rtol=1e-4, atol=1e-4)


def test_what_is_printed_is_what_was_written(recorded):
    folder, file, told = recorded
    content = file.read_bytes()
    assert told["sha256"] == hashlib.sha256(content).hexdigest() and told["num_bytes"] == len(content)
    model = onnx.load_model_from_string(content)
    assert told["metadata"] == {entry.key: entry.value for entry in model.metadata_props}
    assert (told["opset"], told["ir_version"]) == (model.opset_import[0].version, model.ir_version)
    assert (told["metadata"]["opset"], told["metadata"]["ir_version"]) == (str(told["opset"]), str(told["ir_version"]))
    assert told["metadata"]["weights_sha256"] == told["weights_sha256"] == open_checkpoint(folder).weights_sha256
    assert json.loads(told["metadata"]["class_names"]) == [str(digit) for digit in range(10)]
    assert "another base classifier" in told["metadata"]["note"]
    assert len(told["parity"]) == 8 and all(parity["argmax_agreement"] == 1 for parity in told["parity"])


def test_the_file_does_not_tell_where_the_code_lay(recorded):
    content = recorded[1].read_bytes()
    assert b".py" not in content and b"site-packages" not in content


def test_a_recorded_export_is_a_file_of_the_checkpoint_that_a_push_offers(recorded, hub, monkeypatch):
    folder, file, told = recorded
    checkpoint = open_checkpoint(folder)
    assert checkpoint.files["model.onnx"] == told["sha256"]
    assert "model.onnx" in (folder / "README.md").read_text()
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
    monkeypatch.setenv("HF_TOKEN", "hf_alice")
    zoo_hub.push(checkpoint, "alice/digits")
    assert hub.repository("alice/digits").head.files["model.onnx"] == file.read_bytes()


def test_a_network_that_onnx_runtime_computes_differently_is_not_written(
    zoo_command, copy_of_digits, recorded, tmp_path, monkeypatch
):
    def with_another_bias(network, *, size):
        model = onnx.load(recorded[1])
        (bias,) = (tensor for tensor in model.graph.initializer if tensor.name == "backbone.fc.bias")
        values = onnx.numpy_helper.to_array(bias).copy()
        values[0] += 0.01
        bias.CopyFrom(onnx.numpy_helper.from_array(values, bias.name))
        return model.SerializeToString()

    monkeypatch.setattr("zoo.export.checkpoint_export.export_network", with_another_bias)
    ended = zoo_command("export", copy_of_digits, tmp_path / "a.onnx", "--record")
    assert ended.code == 1 and "logits differ from PyTorch's on uniform pixels" in ended.err
    assert not (tmp_path / "a.onnx").exists() and not (copy_of_digits / "model.onnx").exists()


def test_a_request_that_cannot_be_fulfilled_is_refused_before_anything_is_computed(
    zoo_command, copy_of_digits, tmp_path
):
    for words, said in {
        (copy_of_digits,): "give FILE.onnx, or --record",
        ("alice/digits", "--record"): "pull it first with zoo pull alice/digits DIR",
        (copy_of_digits, tmp_path / "nowhere" / "a.onnx"): "its folder does not exist",
        (copy_of_digits, tmp_path): "or it is a folder",
    }.items():
        ended = zoo_command("export", *words)
        assert ended.code == 2 and said in ended.err and not ended.out
