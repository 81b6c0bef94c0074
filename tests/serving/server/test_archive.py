"""The archive: the checkpoint's files, the handler, and our settings for TorchServe."""

import hashlib
import sys
import tempfile
import types
import zipfile
from dataclasses import replace

import pytest
import torch
import yaml

from serving.protocol import Limits
from serving.server.archive import handler_file, make_archive
from serving.server.model_store import adopt
from serving.service.loading import load_from_archive
from tests.zoo.checkpoints.test_checkpoint import saved
from zoo.checkpoints.writing import save_checkpoint
from zoo.errors import BackendError, CertificationError, RequestError, ServerError
from zoo.export.cached_export import specialized_export
from zoo.loading.backend import open_backend


def test_an_archive_holds_the_checkpoint_the_handler_and_the_settings(digits_checkpoint, tmp_path):
    path = make_archive(digits_checkpoint, tmp_path, limits=Limits(n=500), device="cpu")
    assert path == tmp_path / "resnet10-quarter.consistency_s50_digits.mar"
    with zipfile.ZipFile(path) as archive:
        names = set(archive.namelist())
        settings = yaml.safe_load(archive.read("model-config.yaml"))
        weights = archive.read("model.safetensors")
        handler = archive.read("smoothed_classifier.py")
    assert {*digits_checkpoint.files, "manifest.json", "MAR-INF/MANIFEST.json"} <= names
    assert hashlib.sha256(weights).hexdigest() == digits_checkpoint.weights_sha256
    assert handler == handler_file().read_bytes()
    assert settings["continuousBatching"] is True and settings["deviceType"] == "cpu"
    assert settings["smoothing"]["n"] == 500


def test_the_handler_is_ours_in_a_program_with_a_module_handlers_of_its_own(monkeypatch):
    monkeypatch.setitem(sys.modules, "handlers", types.ModuleType("handlers"))
    assert "class SmoothedClassifierHandler" in handler_file().read_text()


def test_the_network_is_exported_when_it_is_packed_and_not_again_by_a_worker(digits_checkpoint, tmp_path, monkeypatch):
    path = make_archive(digits_checkpoint, tmp_path, limits=Limits(n=500), device="cpu")
    with zipfile.ZipFile(path) as archive:
        archive.extractall(tmp_path / "unpacked")
    fresh = open_backend(digits_checkpoint)
    monkeypatch.setattr("zoo.loading.backend.specialized_export", lambda _: pytest.fail("a worker must not export"))
    service = load_from_archive(tmp_path / "unpacked", {}, device="cpu")
    noisy_BCHW = torch.randn(5, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    packed = service.engine.sampler.base
    with pytest.raises(RequestError, match="--precision takes"):  # the archive's precision is the worker's
        load_from_archive(tmp_path / "unpacked", {"precision": "half"}, device="cpu")
    assert packed.name == fresh.name and (packed.logits(noisy_BCHW) == fresh.logits(noisy_BCHW)).all()


def test_a_packed_export_of_another_network_is_noticed(digits_checkpoint, tmp_path):
    with torch.no_grad():
        network = digits_checkpoint.load_network()
        next(network.backbone.parameters()).mul_(1.01)
    other = save_checkpoint(tmp_path, network, digits_checkpoint.spec)
    with pytest.raises(BackendError, match="not made from the weights of"):
        open_backend(other, exported=specialized_export(digits_checkpoint))


def test_an_archive_for_pytorch_holds_no_export(digits_checkpoint, tmp_path):
    for settings in ({"device": "cuda:7"}, {"device": "cpu", "backend": "torch"}):
        with zipfile.ZipFile(make_archive(digits_checkpoint, tmp_path, limits=Limits(n=500), **settings)) as archive:
            assert not [name for name in archive.namelist() if name.endswith(".onnx")]


def test_an_archive_does_not_depend_on_files_of_others_in_the_temporary_folder(
    digits_checkpoint, tmp_path, monkeypatch
):
    """Whoever creates a file there with the model's name must neither stop nor change an archive."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    foreign = tmp_path / digits_checkpoint.spec.name
    foreign.write_text("another user's")
    path = make_archive(digits_checkpoint, tmp_path / "store", limits=Limits(n=500), backend="torch")
    with zipfile.ZipFile(path) as archive:
        assert hashlib.sha256(archive.read("model.safetensors")).hexdigest() == digits_checkpoint.weights_sha256
    assert foreign.read_text() == "another user's" and [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_an_archive_with_another_file_than_the_checkpoints_is_not_written(digits_checkpoint, tmp_path, name):
    path = make_archive(digits_checkpoint, tmp_path, limits=Limits(n=500), backend="torch")
    before = path.read_bytes()
    changed = replace(digits_checkpoint, files={**digits_checkpoint.files, name: "0" * 64})
    with pytest.raises(ServerError, match=f"{name} has changed since it was opened"):
        make_archive(changed, tmp_path, limits=Limits(n=600), backend="torch")
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_a_server_loads_the_archive_that_it_has_checked(digits_checkpoint, tmp_path):
    path = make_archive(digits_checkpoint, tmp_path / "store", limits=Limits(n=500), backend="torch")
    private = tmp_path / "private"
    private.mkdir()
    with pytest.raises(ServerError, match="holds other weights"):
        adopt(path, private, weights_sha256="0" * 64)
    adopted = adopt(path, private, weights_sha256=digits_checkpoint.weights_sha256)
    make_archive(digits_checkpoint, tmp_path / "store", limits=Limits(n=600), backend="torch")  # by another start
    with zipfile.ZipFile(adopted.path) as archive:
        assert yaml.safe_load(archive.read("model-config.yaml"))["smoothing"]["n"] == 500


def test_an_older_archive_is_replaced(digits_checkpoint, tmp_path):
    make_archive(digits_checkpoint, tmp_path, limits=Limits(n=500))
    path = make_archive(digits_checkpoint, tmp_path, limits=Limits(n=600))
    with zipfile.ZipFile(path) as archive:
        assert yaml.safe_load(archive.read("model-config.yaml"))["smoothing"]["n"] == 600


def test_what_cannot_be_served_is_refused_before_it_is_packed(digits_checkpoint, tmp_path):
    checkpoint, _ = saved(tmp_path / "clean", "resnet10-quarter", sigma=None)
    with pytest.raises(ServerError, match="has no sigma"):
        make_archive(checkpoint, tmp_path / "store", limits=Limits())
    with pytest.raises(CertificationError, match="the least n is 10"):
        make_archive(digits_checkpoint, tmp_path / "store", limits=Limits(n=9))
    (tmp_path / "file").write_text("")
    with pytest.raises(ServerError, match="cannot be written"):
        make_archive(digits_checkpoint, tmp_path / "file", limits=Limits())


def test_the_archive_command_prints_the_path(digits_checkpoint, tmp_path, zoo_command):
    done = zoo_command("archive", digits_checkpoint.path, "--store", tmp_path, "--n", 400)
    assert done.code == 0 and done.out.strip().endswith("resnet10-quarter.consistency_s50_digits.mar")
    assert (
        "must not exceed max_n" in zoo_command("archive", digits_checkpoint.path, "--store", tmp_path, "--n", 10**6).err
    )
