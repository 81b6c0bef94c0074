"""An int8 checkpoint: another network, bound to its parent, measured, verified and served as itself."""

import json
import shutil

import numpy as np
import onnx
import pytest
import torch

import zoo
from serving.protocol import Limits
from serving.server.archive import make_archive
from serving.server.model_store import require_weights
from serving.service.loading import load_from_archive
from tests.parallel import made_once
from tests.zoo.verification import forging
from training.quantization import quantize_checkpoint
from training.tasks import open_task
from zoo.checkpoints.checkpoint import open_checkpoint, read_spec
from zoo.checkpoints.copying import install
from zoo.errors import CheckpointError, RequestError, ServerError
from zoo.export.plain_graph import require_plain_graph
from zoo.loading.backend import open_backend
from zoo.loading.device import device_for
from zoo.models.preprocessing import prepare
from zoo.results.log import read_log
from zoo.verification import verify

pytestmark = pytest.mark.usefixtures("two_threads")


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return open_task("digits", data_dir=tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def quantized(digits_checkpoint, digits, tmp_path_factory):
    def make(folder):
        quantize_checkpoint(digits_checkpoint, digits, output=folder / "int8", num_images=32, seed=0)

    return open_checkpoint(made_once("quantized_digits", make, tmp_path_factory) / "int8")


@pytest.fixture
def copied(quantized, tmp_path):
    """The path of a copy that a test may change."""
    return install(quantized, tmp_path / "int8").path


def test_it_holds_an_onnx_file_of_8_bits_that_is_bound_to_its_parent_and_none_of_its_results(
    quantized, digits_checkpoint
):
    assert {"model.onnx", "split.json"} < quantized.files.keys() and "model.safetensors" not in quantized.files
    assert quantized.weights_sha256 == quantized.files["model.onnx"] != digits_checkpoint.weights_sha256
    certified = json.loads((quantized.path / "config.json").read_text())["certified"]
    assert (certified["precision"], certified["parent"]) == ("int8", digits_checkpoint.weights_sha256)
    assert certified["quantization"]["agreement"] > 0.97 and certified["quantization"]["sigma"] == 0.5
    assert (certified["recipe"], certified["seed"], certified["certification"]) == ({}, None, None)
    assert quantized.spec.name == digits_checkpoint.spec.name + "_int8"
    graph = onnx.load(quantized.path / "model.onnx").graph
    weights = [tensor for tensor in graph.initializer if tensor.data_type == onnx.TensorProto.INT8 and tensor.dims]
    assert sum(np.prod(tensor.dims) for tensor in weights) > 100_000
    assert max(abs(onnx.numpy_helper.to_array(tensor)).max() for tensor in weights) <= 64, "8 bits would overflow"


def test_it_is_another_base_classifier_that_agrees_with_its_parent(quantized, digits_checkpoint, digits):
    int8, float32 = open_backend(quantized), open_backend(digits_checkpoint)
    assert int8.name == "onnxruntime-cpu-int8" == zoo.smooth(quantized.path).base.name
    images = [prepare(digits.test[index], quantized.spec.preprocessing) for index in range(64)]
    x_BCHW = torch.stack(images) + 0.5 * torch.randn(64, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert np.abs(int8.logits(x_BCHW) - float32.logits(x_BCHW)).max() > 1e-3
    assert (int8.classify(x_BCHW) == float32.classify(x_BCHW)).mean() > 0.95


def test_the_command_makes_the_same_file_again(quantized, digits_checkpoint, zoo_command, tmp_path):
    words = ["--task", "digits", "--images", 32, "--output", tmp_path / "again", "--json"]
    report = json.loads(zoo_command("quantize", digits_checkpoint.path, *words).out)
    assert (report["sha256"], report["parent_sha256"]) == (quantized.weights_sha256, digits_checkpoint.weights_sha256)
    assert open_checkpoint(tmp_path / "again").files == quantized.files


def test_certify_evaluate_export_and_verify_name_int8_and_the_parent(copied, zoo_command, tmp_path):
    log = tmp_path / "rows.tsv"
    words = ["--task", "digits", "--skip", 90, "--n", 200, "--output", log]
    assert zoo_command("certify", copied, *words, "--record").code == 0
    assert {row.provenance.backend for row in read_log(log)} == {"onnxruntime-cpu-int8"}
    assert "precision int8" in zoo_command("report", log).out
    assert json.loads(zoo_command("evaluate", copied, "--task", "digits", "--skip", 90, "--json").out)["backend"] == (
        "onnxruntime-cpu-int8"
    )
    exported = zoo_command("export", copied, tmp_path / "int8.onnx")
    assert (tmp_path / "int8.onnx").read_bytes() == (
        copied / "model.onnx"
    ).read_bytes() and "PyTorch" not in exported.out
    card, parent = (copied / "README.md").read_text(), read_spec(copied).certified.parent
    assert "(`int8`)" in card and "backend `onnxruntime-cpu-int8`" in card and "Not `model.onnx`" not in card
    assert f"the float32 network with SHA-256 {parent}" in card and "zoo quantize PARENT --task digits" in card
    done = zoo_command("verify", copied)
    assert done.code == 0 and f"from the parent with SHA-256 {parent}" in done.out, done.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["evaluate", "MODEL", "--task", "digits", "--attack", "pgd"], "pgd needs gradients, which the backend"),
        (["certify", "MODEL", "--task", "digits", "--output", "x.tsv", "--backend", "torch"], "omit --backend torch"),
        (["certify", "MODEL", "--task", "digits", "--output", "x.tsv", "--precision", "float32"], "omit --precision"),
        (["train", "--task", "digits", "--objective", "gaussian", "--init", "MODEL", "--output", "x"], "SHA-256"),
        (["denoise", "MODEL", "--with", "MODEL", "--output", "x"], "has no denoiser"),
        (["export", "MODEL", "--record"], "model.onnx is the network of"),
        (["quantize", "MODEL", "--task", "digits", "--output", "x"], "is quantized already"),
    ],
)
def test_what_needs_the_float_network_is_refused_in_a_sentence(
    words, said, quantized, zoo_command, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    done = zoo_command(*(str(quantized.path) if word == "MODEL" else word for word in words))
    assert done.code == 2 and said in done.err and len(done.err.splitlines()) == 1, done.err
    assert list(tmp_path.iterdir()) == []


def test_python_and_other_devices_are_refused_too(quantized, digits_checkpoint):
    with pytest.raises(RequestError, match=f"use its float checkpoint, whose .* {digits_checkpoint.weights_sha256}"):
        zoo.load(quantized.path)
    with pytest.raises(RequestError, match="which only CPUs compute: give --device cpu"):
        open_backend(quantized, device="cuda")
    with pytest.raises(RequestError, match="make an int8 checkpoint of it first, with zoo quantize"):
        open_backend(digits_checkpoint, precision="int8")
    assert device_for(quantized, "auto") == torch.device("cpu")


def test_it_is_packed_and_served_as_itself(quantized, digits_checkpoint, tmp_path):
    archive = make_archive(quantized, tmp_path, limits=Limits(n=500))
    require_weights(archive, quantized.weights_sha256)
    with pytest.raises(ServerError, match="holds other weights"):
        require_weights(archive, digits_checkpoint.weights_sha256)
    shutil.unpack_archive(archive, tmp_path / "unpacked", "zip")
    settings = (tmp_path / "unpacked" / "model-config.yaml").read_text()
    assert "deviceType: cpu" in settings and not (tmp_path / "unpacked" / "specialized.onnx").exists()
    service = load_from_archive(tmp_path / "unpacked", {}, device="cpu")
    assert service.engine.sampler.base.name == "onnxruntime-cpu-int8"
    assert service.model_sha256 == quantized.weights_sha256


def test_config_and_files_must_agree_on_what_the_network_is(copied, digits_checkpoint):
    shutil.copyfile(digits_checkpoint.path / "model.safetensors", copied / "model.safetensors")
    forging.recompute_card(copied)
    with pytest.raises(CheckpointError, match=r"names a quantized network, but manifest.json lists model.safetensors"):
        open_checkpoint(copied)


def test_verify_finds_another_parent_and_a_file_that_is_not_the_network(copied):
    def findings():
        forging.recompute_card(copied)
        return [finding for check in verify(copied).checks for finding in check.findings]

    model = onnx.load(copied / "model.onnx")
    for entry in model.metadata_props:
        entry.value = "ab" * 32 if entry.key == "parent_sha256" else entry.value
    onnx.save(model, copied / "model.onnx")
    assert any(f"says that it was quantized from weights with SHA-256 {'ab' * 32}" in line for line in findings())
    with pytest.raises(CheckpointError, match=f"SHA-256 {'ab' * 32}, but config.json names the parent"):
        open_backend(open_checkpoint(copied))
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 7
    onnx.save(model, copied / "model.onnx")
    assert any("has the inputs and outputs" in line for line in findings())


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("loop", "the operator Loop"),
        ("domain", "the operator Any"),
        ("external", "from another file"),
        ("bytes", "not"),
    ],
)
def test_a_graph_that_could_do_more_than_compute_a_network_is_refused(kind, said):
    node = onnx.helper.make_node("Any", [], [], domain="com.example")
    if kind == "loop":
        body = onnx.helper.make_graph([], "body", [], [])
        node = onnx.helper.make_node("Loop", [], [], body=body)
    graph = onnx.helper.make_graph([] if kind == "external" else [node], "graph", [], [])
    if kind == "external":
        graph.initializer.add(name="w", data_location=onnx.TensorProto.EXTERNAL)
    content = b"nothing" if kind == "bytes" else onnx.helper.make_model(graph).SerializeToString()
    with pytest.raises(CheckpointError, match=said):
        require_plain_graph(content, source="model.onnx")
