"""What is written into a checkpoint directory, and what stays there."""

import json

import pytest
import torch

from tests.full_disk import files_no_larger_than
from tests.zoo.cards.test_card import CERTIFICATION, EMPIRICAL
from tests.zoo.checkpoints.test_checkpoint import saved
from zoo.checkpoints.checkpoint import open_checkpoint
from zoo.checkpoints.writing import record_results, save_checkpoint
from zoo.errors import CheckpointError

ROWS = b"idx\tlabel\tpredict\tradius\tcorrect\ttime\n0\t1\t1\t0.7\t1\t0:00:01\n3\t1\t-1\t0.0\t0\t0:00:01\n"


def test_weights_that_are_not_finite_are_neither_written_nor_loaded(tmp_path):
    checkpoint, network = saved(tmp_path / "a", "resnet10-quarter")
    with torch.no_grad():
        network.backbone.fc.weight[0, 0] = float("nan")
    with pytest.raises(CheckpointError, match=r"fc\.weight contains a value that is not finite"):
        save_checkpoint(tmp_path / "b", network, checkpoint.spec)
    assert not (tmp_path / "b").exists()


def test_new_weights_drop_the_results_of_the_old_ones(tmp_path):
    checkpoint, network = saved(tmp_path, "resnet10-quarter")
    checkpoint = record_results(checkpoint, certification=(CERTIFICATION, ROWS))
    assert checkpoint.spec.certified.certification == CERTIFICATION
    assert set(checkpoint.files) == {
        "config.json", "model.safetensors", "README.md", "split.json", "certification.tsv", "certified_accuracy.png",
    }  # fmt: skip
    again = save_checkpoint(tmp_path, network, checkpoint.spec)
    assert set(again.files) == {"config.json", "model.safetensors", "README.md"}
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*again.files, "manifest.json"])


def test_results_are_not_attached_to_weights_that_were_not_measured(tmp_path):
    checkpoint, network = saved(tmp_path, "resnet10-quarter")
    with torch.no_grad():
        network.backbone.fc.bias += 1
    save_checkpoint(tmp_path, network, checkpoint.spec)
    with pytest.raises(CheckpointError, match="other weights than those that were measured"):
        record_results(checkpoint, certification=(CERTIFICATION, ROWS))


def test_one_result_does_not_drop_the_other(tmp_path):
    checkpoint, _ = saved(tmp_path, "resnet10-quarter")
    record_results(checkpoint, empirical=lambda _: EMPIRICAL)
    certified = record_results(checkpoint, certification=(CERTIFICATION, ROWS)).spec.certified
    assert (certified.empirical, certified.certification) == (EMPIRICAL, CERTIFICATION)


def test_a_full_disk_leaves_no_temporary_file_and_the_old_checkpoint(tmp_path):
    checkpoint, network = saved(tmp_path, "resnet10-quarter")
    names = sorted(path.name for path in tmp_path.iterdir())
    size = (tmp_path / "model.safetensors").stat().st_size
    with files_no_larger_than(size - 1), pytest.raises(CheckpointError, match=r"cannot write the checkpoint"):
        save_checkpoint(tmp_path, network, checkpoint.spec)
    assert open_checkpoint(tmp_path).files == checkpoint.files
    assert sorted(path.name for path in tmp_path.iterdir()) == names


def test_the_manifest_lists_every_file_but_itself_and_hidden_ones(tmp_path):
    saved(tmp_path, "resnet10-quarter")
    (tmp_path / ".run").mkdir()
    listed = json.loads((tmp_path / "manifest.json").read_text())["files"]
    assert set(listed) == {path.name for path in tmp_path.iterdir()} - {"manifest.json", ".run"}
