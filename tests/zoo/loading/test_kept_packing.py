"""The comparison of batches is kept between starts, for exactly the conditions that it was made under."""

import pytest
import torch

from zoo.loading import kept_packing
from zoo.loading.backend import open_backend
from zoo.loading.kept_packing import keep_dependence, read_dependence
from zoo.smoothing.backends.onnxruntime import OnnxBackend

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(kept_packing, "cache_directory", lambda kind: tmp_path / kind)
    return tmp_path / kept_packing.KIND


@pytest.mark.parametrize("depends", [True, False])
def test_a_result_is_read_under_its_own_conditions_only(depends, cache, monkeypatch):
    assert read_dependence(b"network", CPU) is None
    keep_dependence(b"network", CPU, depends=depends)
    assert read_dependence(b"network", CPU) is depends and read_dependence(b"other", CPU) is None
    for name, value in (("PROBE_SIZES", (1,)), ("_processor", lambda _: ["another"])):
        with monkeypatch.context() as patch:
            patch.setattr(kept_packing, name, value)
            assert read_dependence(b"network", CPU) is None
    with monkeypatch.context() as patch:
        patch.setattr(torch, "get_num_threads", lambda: 77)
        assert read_dependence(b"network", CPU) is None
    (file,) = cache.iterdir()
    file.write_text("something else")
    assert read_dependence(b"network", CPU) is None


def test_few_results_are_kept_and_an_unwritable_cache_keeps_none(cache, monkeypatch):
    monkeypatch.setattr(kept_packing, "NUM_KEPT", 2)
    for content in (b"a", b"b", b"c"):
        keep_dependence(content, CPU, depends=False)
    assert len(list(cache.iterdir())) == 2
    monkeypatch.setattr(kept_packing, "cache_directory", lambda kind: cache / "file" / kind)
    (cache / "file").write_text("")
    keep_dependence(b"d", CPU, depends=False)
    assert read_dependence(b"d", CPU) is None


def test_a_network_is_compared_at_its_first_start_only(digits_checkpoint, monkeypatch):
    compared = []
    compare = OnnxBackend._is_identical_in_every_packing
    monkeypatch.setattr(
        OnnxBackend,
        "_is_identical_in_every_packing",
        lambda self, shape_CHW: compared.append(shape_CHW) or compare(self, shape_CHW),
    )
    first = open_backend(digits_checkpoint, backend="onnx")
    again = open_backend(digits_checkpoint, backend="onnx")
    assert len(compared) == 1 and again.depends_on_batch_shape == first.depends_on_batch_shape
