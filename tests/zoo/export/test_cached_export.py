"""The ONNX model of a checkpoint: kept between starts, compared with PyTorch wherever it is loaded."""

import logging
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from zoo.checkpoints.checkpoint import Checkpoint
from zoo.checkpoints.writing import save_checkpoint
from zoo.errors import BackendError
from zoo.export import cached_export as module
from zoo.export.cached_export import EXPECTED, NUM_CACHED, WEIGHTS_SHA256, specialized_export
from zoo.export.onnx import export_network, publishable
from zoo.loading.backend import open_backend
from zoo.smoothing.backends.onnxruntime import OnnxBackend


@pytest.fixture(scope="module")
def of_another_network():
    """What the exporter makes of another network of ten classes on 3x32x32 pixels."""
    return export_network(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 32 * 32, 10)), size=32)


@pytest.fixture
def exports(tmp_path, monkeypatch):
    """The folder of an empty cache."""
    monkeypatch.setenv("ZOO_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache/exports"


@pytest.fixture(scope="module")
def exported(digits_checkpoint):
    """The model of the digits checkpoint, exported or from the cache that all test processes share."""
    return specialized_export(digits_checkpoint)


@pytest.fixture
def num_exports(exported, monkeypatch):
    """A list that grows by each export, which costs nothing: it gives the model of `exported`."""
    made = []
    monkeypatch.setattr(module, "_export", lambda _: made.append(1) or exported)
    return made


def test_it_is_exported_once_and_answers_as_pytorch_does(digits_checkpoint, exports, monkeypatch):
    first = specialized_export(digits_checkpoint)
    monkeypatch.setattr(module, "export_network", lambda *_, **__: pytest.fail("it was kept"))
    assert specialized_export(digits_checkpoint) == first
    x_BCHW = torch.randn(5, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected_BK = digits_checkpoint.load_network()(x_BCHW).numpy()
    np.testing.assert_allclose(open_backend(digits_checkpoint).logits(x_BCHW), expected_BK, rtol=1e-4, atol=1e-4)


def test_nothing_of_this_machine_stands_in_it(exported, of_another_network):
    here = str(Path(torch.__file__).parent).encode()
    assert here in of_another_network, "the exporter writes it into every model"
    assert here not in exported


def test_a_worker_that_is_given_the_model_needs_no_pytorch_network(digits_checkpoint, exported, monkeypatch):
    monkeypatch.setattr(Checkpoint, "load_network", lambda _: pytest.fail("building it takes seconds"))
    assert open_backend(digits_checkpoint, exported=exported).name == "onnxruntime-cpu-float32"


@pytest.mark.parametrize("damage", [lambda content: content[:-1], lambda content: b"", lambda content: content + b"x"])
def test_a_damaged_one_is_made_again(digits_checkpoint, exports, num_exports, damage):
    first = specialized_export(digits_checkpoint)
    (kept,) = exports.iterdir()
    kept.write_bytes(damage(first))
    again = specialized_export(digits_checkpoint)
    (kept,) = exports.iterdir()
    assert kept.read_bytes() == again == first and len(num_exports) == 2


def test_other_weights_code_and_versions_are_other_models(digits_checkpoint, exports, tmp_path, monkeypatch):
    keys = {module._key(digits_checkpoint)}
    network = digits_checkpoint.load_network()
    with torch.no_grad():
        next(network.backbone.parameters()).mul_(1.01)
    keys.add(module._key(save_checkpoint(tmp_path / "other", network, digits_checkpoint.spec)))
    monkeypatch.setattr(module, "version", lambda name: "0.1")
    keys.add(module._key(digits_checkpoint))
    changed = tmp_path / "zoo"
    shutil.copytree(module.SOURCES, changed)
    monkeypatch.setattr(module, "SOURCES", changed)
    assert module._key(digits_checkpoint) in keys, "where the code lies does not matter"
    (changed / "smoothing/backends/pytorch.py").write_text("another way to fold batch normalization")
    keys.add(module._key(digits_checkpoint))
    assert len(keys) == 4


def test_results_that_are_recorded_do_not_make_it_another_model(digits_checkpoint, certified_digits):
    assert certified_digits.files["config.json"] != digits_checkpoint.files["config.json"]
    assert module._key(certified_digits) == module._key(digits_checkpoint)


def test_only_the_last_ones_used_are_kept(digits_checkpoint, exports, monkeypatch):
    def use(name):
        monkeypatch.setattr(module, "_key", lambda _: name)
        specialized_export(digits_checkpoint)

    monkeypatch.setattr(module, "_export", lambda _: b"a model")
    for number in range(NUM_CACHED):
        use(f"model{number}")
        (path,) = exports.glob(f"model{number}-*")
        os.utime(path, times=(number, number))
    use("model0")
    use("another")
    names = {path.name.partition("-")[0] for path in exports.iterdir()}
    assert names == {"model0", *(f"model{number}" for number in range(2, NUM_CACHED)), "another"}


def test_where_nothing_can_be_kept_it_is_exported_each_time(
    digits_checkpoint, num_exports, tmp_path, monkeypatch, caplog
):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("ZOO_CACHE_DIR", str(tmp_path / "file"))
    with caplog.at_level(logging.INFO, logger=module.__name__):
        for _ in range(2):
            assert OnnxBackend(specialized_export(digits_checkpoint), num_classes=10).metadata[WEIGHTS_SHA256]
    assert "cannot cache the exported network" in caplog.text and len(num_exports) == 2


def test_an_export_that_differs_from_the_network_is_refused(digits_checkpoint, exported, of_another_network):
    told = OnnxBackend(exported, num_classes=10).metadata
    with pytest.raises(BackendError, match="differ from PyTorch's"):
        open_backend(digits_checkpoint, exported=publishable(of_another_network, told))


@pytest.mark.parametrize(
    "told", [{WEIGHTS_SHA256: None}, {WEIGHTS_SHA256: "0" * 64}, {EXPECTED: None}, {EXPECTED: "%"}, {EXPECTED: "AAAA"}]
)
def test_a_model_that_does_not_say_what_it_is_of_is_refused(digits_checkpoint, exported, told):
    facts = {**OnnxBackend(exported, num_classes=10).metadata, **told}
    changed = publishable(exported, {name: value for name, value in facts.items() if value is not None})
    with pytest.raises(BackendError, match="create the archive again"):
        open_backend(digits_checkpoint, exported=changed)
