"""The archive: the checkpoint's files, the handler, and our settings for TorchServe."""

import hashlib
import zipfile

import pytest
import yaml

from serving.archive import handler_file, make_archive
from serving.protocol import Limits
from tests.zoo.test_checkpoint import saved
from zoo.errors import CertificationError, ServerError


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


def test_an_older_archive_is_replaced(digits_checkpoint, tmp_path):
    make_archive(digits_checkpoint, tmp_path, limits=Limits(n=500))
    path = make_archive(digits_checkpoint, tmp_path, limits=Limits(n=600))
    with zipfile.ZipFile(path) as archive:
        assert yaml.safe_load(archive.read("model-config.yaml"))["smoothing"]["n"] == 600


def test_what_cannot_be_served_is_refused_before_it_is_packed(digits_checkpoint, tmp_path):
    checkpoint, _ = saved(tmp_path / "clean", "resnet10-quarter", sigma=None)
    with pytest.raises(ServerError, match="names no sigma"):
        make_archive(checkpoint, tmp_path / "store", limits=Limits())
    with pytest.raises(CertificationError, match="the least n is 10"):
        make_archive(digits_checkpoint, tmp_path / "store", limits=Limits(n=9))
    (tmp_path / "file").write_text("")
    with pytest.raises(ServerError, match="cannot write"):
        make_archive(digits_checkpoint, tmp_path / "file", limits=Limits())


def test_the_archive_command_prints_the_path(digits_checkpoint, tmp_path, zoo_command):
    done = zoo_command("archive", digits_checkpoint.path, "--store", tmp_path, "--n", 400)
    assert done.code == 0 and done.out.strip().endswith("resnet10-quarter.consistency_s50_digits.mar")
    assert (
        "must not exceed max_n" in zoo_command("archive", digits_checkpoint.path, "--store", tmp_path, "--n", 10**6).err
    )
