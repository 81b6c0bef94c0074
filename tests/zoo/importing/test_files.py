"""Nothing in a foreign file is executed, and a file that is no checkpoint is said to be none."""

import argparse
import os
import types

import pytest
import torch
from safetensors.torch import save_file

from zoo.checkpoints.checkpoint import sha256_of
from zoo.errors import ForeignCheckpointError
from zoo.importing.files import read_foreign_file


class Malicious:
    """A pickle that makes a file as soon as it is read carelessly."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("is_zip", [True, False])
def test_a_malicious_pickle_is_refused_with_the_reason_and_does_nothing(is_zip, small, tmp_path):
    path, proof = tmp_path / "evil.pth", tmp_path / "proof"
    content = {"state_dict": small.state_dict(), "epoch": Malicious(proof)}
    torch.save(content, path, _use_new_zipfile_serialization=is_zip)
    with pytest.raises(ForeignCheckpointError) as refused:
        read_foreign_file(path)
    assert not proof.exists()
    assert f"needs {os.system.__module__}.system in addition to tensors" in str(refused.value)
    assert "in a sandbox" in str(refused.value) and "safetensors" in str(refused.value)


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_the_malicious_pickle_would_do_something_if_it_were_read_carelessly(tmp_path):
    path, proof = tmp_path / "evil.pth", tmp_path / "proof"
    torch.save({"epoch": Malicious(proof)}, path)
    torch.load(path, weights_only=False)
    assert proof.exists()


def test_a_file_with_an_object_of_a_program_in_it_is_refused_with_the_objects_name(small, tmp_path):
    path = tmp_path / "robustness.pt"
    torch.save({"model": small.state_dict(), "args": types.SimpleNamespace(lr=0.1)}, path)
    with pytest.raises(ForeignCheckpointError, match=r"needs types\.SimpleNamespace in addition to tensors"):
        read_foreign_file(path)


def test_a_stored_command_line_is_read_unless_it_holds_an_object_that_runs(tmp_path):
    path, proof = tmp_path / "timm.pth.tar", tmp_path / "proof"
    torch.save({"args": argparse.Namespace(lr=0.1)}, path)
    assert read_foreign_file(path).content["args"].lr == 0.1
    torch.save({"args": argparse.Namespace(lr=Malicious(proof))}, path)
    with pytest.raises(ForeignCheckpointError, match=r"system in addition to tensors"):
        read_foreign_file(path)
    assert not proof.exists() and argparse.Namespace not in torch.serialization.get_safe_globals()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_truncated_file_is_refused(suffix, small, tmp_path):
    path = tmp_path / f"cut{suffix}"
    (save_file if suffix == ".safetensors" else torch.save)(small.state_dict(), path)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(ForeignCheckpointError, match=r"not an intact (checkpoint|safetensors file)"):
        read_foreign_file(path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not an intact checkpoint"),
        (b"hello", "not an intact checkpoint"),
        (b"PK\x03\x04 and no more", "not an intact checkpoint"),
        (b"\n<!DOCTYPE html><title>Google Drive can't scan this file", "is a web page, not a checkpoint"),
    ],
)
def test_what_is_no_checkpoint_is_refused(content, reason, tmp_path):
    (tmp_path / "file.pt").write_bytes(content)
    with pytest.raises(ForeignCheckpointError, match=reason):
        read_foreign_file(tmp_path / "file.pt")


def test_what_is_no_file_is_refused(tmp_path):
    for path in (tmp_path, tmp_path / "absent.pt"):
        with pytest.raises(ForeignCheckpointError, match="is not a file"):
            read_foreign_file(path)


def test_a_lone_tensor_is_no_state_dict(tmp_path):
    torch.save(torch.ones(3), tmp_path / "tensor.pt")
    with pytest.raises(ForeignCheckpointError, match="contains a Tensor, expected a state dict"):
        read_foreign_file(tmp_path / "tensor.pt")


def test_the_hash_is_that_of_the_files_bytes(small, tmp_path):
    torch.save(small.state_dict(), tmp_path / "file.pt")
    assert read_foreign_file(tmp_path / "file.pt").sha256 == sha256_of(tmp_path / "file.pt")
