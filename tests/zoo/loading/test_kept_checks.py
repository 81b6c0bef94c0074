"""What the checks of an exported network found is kept between starts, for exactly the conditions of the checks."""

import pytest
import torch

from zoo.export import cached_export
from zoo.export.cached_export import specialized_export
from zoo.loading import kept_checks
from zoo.loading.backend import open_backend
from zoo.loading.kept_checks import AGREES, DEPENDS, IDENTICAL, keep_checks, key_of, read_checks
from zoo.smoothing.backends.onnxruntime import OnnxBackend

CPU = torch.device("cpu")
NOTHING = frozenset()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(kept_checks, "cache_directory", lambda kind: tmp_path / kind)
    return tmp_path / kept_checks.KIND


@pytest.mark.parametrize("results", [{DEPENDS}, {IDENTICAL, AGREES}])
def test_results_are_read_under_their_own_conditions_only(results, cache, monkeypatch):
    def found(network=b"network"):
        return read_checks(key_of(network))

    assert found() == NOTHING
    keep_checks(key_of(b"network"), frozenset(results))
    assert found() == results and found(b"other") == NOTHING
    for name, value in (("PROBE_SIZES", (1,)), ("RELATIVE", 1.0), ("_processor", lambda: ["another"])):
        with monkeypatch.context() as patch:
            patch.setattr(kept_checks, name, value)
            assert found() == NOTHING
    with monkeypatch.context() as patch:
        patch.setattr(torch, "get_num_threads", lambda: 77)
        assert found() == NOTHING
    (file,) = cache.iterdir()
    for text in ("something else", AGREES, f"{DEPENDS}\n{IDENTICAL}\n", ""):
        file.write_text(text)
        assert found() == NOTHING


def test_few_results_are_kept_and_an_unwritable_cache_keeps_none(cache, monkeypatch):
    monkeypatch.setattr(kept_checks, "NUM_KEPT", 2)
    for name in "abc":
        keep_checks(name, frozenset({IDENTICAL}))
    assert len(list(cache.iterdir())) == 2
    monkeypatch.setattr(kept_checks, "cache_directory", lambda kind: cache / "file" / kind)
    (cache / "file").write_text("")
    keep_checks("d", frozenset({IDENTICAL}))
    assert read_checks("d") == NOTHING


def test_a_network_is_checked_at_its_first_start_only(digits_checkpoint, monkeypatch):
    checked = []
    for owner, name in ((OnnxBackend, "_is_identical_in_every_packing"), (cached_export, "compare")):
        check = getattr(owner, name)
        monkeypatch.setattr(owner, name, lambda *args, name=name, check=check: checked.append(name) or check(*args))
    first = open_backend(digits_checkpoint, backend="onnx")
    again = open_backend(digits_checkpoint, backend="onnx")
    assert sorted(checked) == ["_is_identical_in_every_packing", "compare"]
    assert again.depends_on_batch_shape == first.depends_on_batch_shape
    key = key_of(specialized_export(digits_checkpoint))
    keep_checks(key, read_checks(key) - {AGREES})
    open_backend(digits_checkpoint, backend="onnx")
    assert checked.count("compare") == 2 and AGREES in read_checks(key), "what is not known is checked again"
