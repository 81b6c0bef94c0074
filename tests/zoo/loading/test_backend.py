"""A checkpoint computes alike on every backend, and nothing leaves the machine."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch

import zoo
from tests.simulated_device import simulated_device
from tests.zoo.export.test_host_state import Unexportable
from training.tasks import open_task
from zoo.errors import BackendError, ExportError, OutOfMemoryError, RequestError
from zoo.export.cached_export import specialized_export
from zoo.export.onnx import export_network
from zoo.loading.backend import default_batch_size, open_backend
from zoo.models.preprocessing import prepare
from zoo.smoothing import Certification, CertificationEngine, NoiseKey, NoisySampler, SamplingOptions, SmoothingSpec
from zoo.smoothing.backends.onnxruntime import OnnxBackend

pytestmark = pytest.mark.usefixtures("two_threads")


@pytest.fixture(scope="module")
def backends(digits_checkpoint):
    return {name: open_backend(digits_checkpoint, backend=name) for name in ("torch", "onnx")}


@pytest.fixture(scope="module")
def images(digits_checkpoint, tmp_path_factory):
    task = open_task("digits", data_dir=tmp_path_factory.mktemp("data"))
    return [prepare(task.test[index], digits_checkpoint.spec.preprocessing) for index in range(64)]


def certificates(base, images, *, packed, batch_size=64):
    """The certificates of the images, so many open at a time."""
    engine = CertificationEngine(NoisySampler(base, SamplingOptions(batch_size=batch_size)))
    waiting, done = list(enumerate(images)), {}
    while waiting or engine.num_open:
        while waiting and engine.num_open < packed:
            number, x_CHW = waiting.pop(0)
            smoothing = SmoothingSpec(sigma=0.5, n0=20, n=60)
            engine.admit(Certification(number, x_CHW, smoothing=smoothing, key=NoiseKey(5, number)))
        done |= {finished.id: finished.result for finished in engine.step()}
    return [done[number] for number in range(len(images))]


def test_the_default_on_cpus_is_onnx_runtime(digits_checkpoint, backends):
    assert open_backend(digits_checkpoint).name == backends["onnx"].name == "onnxruntime-cpu-float32"
    assert backends["torch"].name == "torch-cpu-float32"


def test_a_precision_is_another_base_classifier_and_refused_where_it_does_not_exist(
    digits_checkpoint, images, monkeypatch
):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    rounded = open_backend(digits_checkpoint, precision="bfloat16")
    assert rounded.name == "torch-cpu-bfloat16" and len(rounded.classify(torch.stack(images[:2]))) == 2
    assert zoo.smooth(digits_checkpoint.path, device="cpu", precision="bfloat16").base.name == rounded.name
    for words, said in [
        ({"precision": "bfloat16", "backend": "onnx"}, "bfloat16 needs PyTorch: give --backend torch"),
        ({"precision": "tf32"}, "tf32 needs a CUDA device, got the device cpu"),
        ({"precision": "float16"}, "--precision takes float32, tf32, bfloat16, int8, got 'float16'"),
    ]:
        with pytest.raises(RequestError, match=said):
            open_backend(digits_checkpoint, **words)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": False, "avx2": True})
    with pytest.raises(RequestError, match="needs a processor with bfloat16 instructions"):
        open_backend(digits_checkpoint, precision="bfloat16")


def test_a_network_that_onnx_cannot_express_is_run_by_pytorch_with_a_note_or_refused(
    digits_checkpoint, monkeypatch, caplog
):
    def fails(checkpoint):
        return export_network(Unexportable(), size=32)

    monkeypatch.setattr("zoo.loading.backend.specialized_export", fails)
    assert open_backend(digits_checkpoint).name == "torch-cpu-float32"
    (record,) = (record for record in caplog.records if record.name.startswith("zoo."))
    assert record.getMessage().endswith(
        "cannot be expressed in ONNX with any batch size; PyTorch can run it, and does so now"
    )
    with pytest.raises(ExportError, match="the network cannot be expressed in ONNX with any batch size"):
        open_backend(digits_checkpoint, backend="onnx")


def test_logits_and_votes_agree_across_backends(digits_checkpoint, backends, images):
    generator = torch.Generator().manual_seed(0)
    noisy_BCHW = torch.cat([torch.stack(images) + 0.5 * torch.randn(64, 3, 32, 32, generator=generator)] * 8)
    noisy_BCHW += 0.5 * torch.randn(noisy_BCHW.shape, generator=generator)
    with torch.inference_mode():
        expected_BK = digits_checkpoint.load_network()(noisy_BCHW).numpy()
    assert np.abs(backends["onnx"].logits(noisy_BCHW) - expected_BK).max() < 1e-4
    for base in backends.values():  # some logits can be read without another pass
        classes_B, logits_RK = base.classify_and_read(noisy_BCHW, [3, 0])
        assert (classes_B == base.classify(noisy_BCHW)).all()
        np.testing.assert_allclose(logits_RK, expected_BK[[3, 0]], atol=1e-4)
    assert (backends["onnx"].classify(noisy_BCHW) != backends["torch"].classify(noisy_BCHW)).mean() <= 1e-4


@pytest.mark.parametrize("name", ["torch", "onnx"])
def test_counts_are_the_same_however_requests_are_packed(name, backends, images):
    few = images[:24]
    alone = certificates(backends[name], few, packed=1)
    assert certificates(backends[name], few, packed=7) == alone
    assert certificates(backends[name], few, packed=24) == alone


def test_onnx_runtime_answers_alike_at_every_batch_size(backends, images):
    assert not backends["onnx"].depends_on_batch_shape
    whole = certificates(backends["onnx"], images[:16], packed=16, batch_size=1000)
    assert certificates(backends["onnx"], images[:16], packed=3, batch_size=13) == whole


def test_onnx_runtime_never_falls_back_to_another_device(digits_checkpoint):
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(BackendError, match="cannot compute on cuda"):
        open_backend(digits_checkpoint, backend="onnx", device="cuda")


@pytest.mark.parametrize(("compiles", "name"), [(True, "torch-cuda-compiled-float32"), (False, "torch-cuda-float32")])
def test_a_compiled_network_is_another_base_classifier_and_only_where_it_can_be_compiled(
    digits_checkpoint, monkeypatch, compiles, name
):
    monkeypatch.setattr("zoo.loading.backend.can_compile", lambda device: compiles)
    with simulated_device():
        assert open_backend(digits_checkpoint, backend="compiled", device="cuda:0").name == name
    with pytest.raises(RequestError, match="--backend compiled needs a CUDA device, got the device cpu"):
        open_backend(digits_checkpoint, backend="compiled", device="cpu")


def test_onnx_runtime_reads_and_writes_tensors_where_they_are(backends, images):
    x_BCHW = torch.stack(images[:5]).to(memory_format=torch.channels_last)
    assert np.array_equal(backends["onnx"].enqueue(x_BCHW).numpy(), backends["onnx"].logits(x_BCHW))


@pytest.mark.parametrize(
    ("message", "error"),
    [
        (
            "Non-zero status code returned while running Conv node. CUDA failure 2: out of memory ; GPU=0",
            OutOfMemoryError,
        ),
        ("BFCArena::AllocateRawInternal Failed to allocate memory for requested buffer", OutOfMemoryError),
        ("CUDNN failure 4000: CUDNN_STATUS_ALLOC_FAILED", OutOfMemoryError),
        ("CUDNN failure 5000: CUDNN_STATUS_EXECUTION_FAILED", BackendError),
    ],
)
def test_onnx_runtimes_messages_about_memory(digits_checkpoint, message, error):
    class Failing:
        def run(self, outputs, inputs):
            raise RuntimeError(message)

    base = OnnxBackend(specialized_export(digits_checkpoint), num_classes=10, depends_on_batch_shape=False)
    base._session = Failing()
    with pytest.raises(error):
        base.classify(torch.zeros(4, 3, 32, 32))


def test_a_damaged_model_and_an_unknown_backend_are_refused(digits_checkpoint):
    with pytest.raises(BackendError, match="cannot load the model"):
        OnnxBackend(b"nothing", num_classes=10)
    with pytest.raises(RequestError, match="auto, torch, compiled, onnx, got 'tensorrt'"):
        open_backend(digits_checkpoint, backend="tensorrt")


def test_onnx_runtime_reports_to_nobody(tmp_path):
    environment = {name: value for name, value in os.environ.items() if name not in ("CI", "ORT_DISABLE_TELEMETRY")}
    program = "import os, zoo.loading.backend; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    environment |= {"TMPDIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "1\n" and not list(tmp_path.iterdir()), "its reporter leaves a file named .ses"


def test_the_default_batch_is_a_power_of_two(digits_checkpoint):
    assert default_batch_size(digits_checkpoint, "cpu") == 256
    assert default_batch_size(digits_checkpoint, "cuda") == 1024
