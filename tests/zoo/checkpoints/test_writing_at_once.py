"""Several writers of one checkpoint: what each of them was told it wrote is there."""

import copy
import shutil
import threading
from functools import partial

import pytest
import torch

from tests.zoo.cards.test_card import CERTIFICATION, EMPIRICAL
from tests.zoo.checkpoints.test_checkpoint import saved
from tests.zoo.checkpoints.test_writing import ROWS
from zoo.checkpoints import writing as module
from zoo.checkpoints.checkpoint import open_checkpoint
from zoo.checkpoints.signing import make_key, sign
from zoo.checkpoints.writing import record_onnx, record_results, restate, save_checkpoint
from zoo.errors import CheckpointError
from zoo.host.lock import exclusive_lock

ROUNDS = 5


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("original") / "model", "resnet10-quarter")


def with_other_weights(network, *, shift):
    other = copy.deepcopy(network)
    with torch.no_grad():
        other.backbone.fc.bias += shift
    return other


def at_once(*writers):
    """Runs the writers in threads that a barrier releases; what each raised, None if it did not."""
    barrier, raised = threading.Barrier(len(writers)), [None] * len(writers)

    def run(number, write):
        barrier.wait()
        try:
            write()
        except Exception as error:
            raised[number] = error

    threads = [threading.Thread(target=run, args=each) for each in enumerate(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return raised


def test_no_writer_takes_back_what_another_one_wrote(original, tmp_path):
    for number in range(ROUNDS):
        path = tmp_path / str(number)
        shutil.copytree(original[0].path, path)
        opened = open_checkpoint(path)
        raised = at_once(
            partial(record_results, opened, certification=(CERTIFICATION, ROWS)),
            partial(record_results, opened, empirical=lambda _: EMPIRICAL),
            partial(record_onnx, opened, b"exported"),
            partial(restate, opened, licence="apache-2.0"),
        )
        assert raised == [None] * 4
        now = open_checkpoint(path)
        certified = now.spec.certified
        assert certified.certification == CERTIFICATION and certified.empirical == EMPIRICAL
        assert (path / "model.onnx").read_bytes() == b"exported" and certified.licence == "apache-2.0"
        assert {path.name for path in path.iterdir()} == {*now.files, "manifest.json"}


def test_a_result_of_other_weights_never_stands_beside_new_ones(original, tmp_path):
    checkpoint, network = original
    for number in range(ROUNDS):
        path = tmp_path / str(number)
        shutil.copytree(checkpoint.path, path)
        opened = open_checkpoint(path)
        other = with_other_weights(network, shift=number + 1)
        at_once(
            partial(save_checkpoint, path, other, checkpoint.spec),
            partial(record_results, opened, certification=(CERTIFICATION, ROWS)),
        )
        now = open_checkpoint(path)
        assert now.weights_sha256 != checkpoint.weights_sha256 and now.spec.certified.certification is None
        assert not (path / "certification.tsv").exists()
        for write in (
            partial(restate, opened, licence="apache-2.0"),
            partial(record_onnx, opened, b""),
            partial(record_results, opened, empirical=lambda _: EMPIRICAL),
        ):
            with pytest.raises(CheckpointError, match="has other weights than those"):
                write()


def test_a_known_file_that_no_manifest_lists_yet_is_kept_by_those_who_add_to_a_checkpoint(original, tmp_path):
    shutil.copytree(original[0].path, tmp_path / "model")
    opened = open_checkpoint(tmp_path / "model")
    (tmp_path / "model" / "model.onnx").write_bytes(b"of another process, which writes the manifest last")
    record_results(opened, empirical=lambda _: EMPIRICAL)
    assert (tmp_path / "model" / "model.onnx").exists()
    save_checkpoint(tmp_path / "model", original[1], opened.spec)
    assert not (tmp_path / "model" / "model.onnx").exists()


def test_what_has_changed_since_it_was_opened_is_not_signed(original, tmp_path):
    shutil.copytree(original[0].path, tmp_path / "model")
    opened = open_checkpoint(tmp_path / "model")
    make_key(tmp_path / "key.pem")
    record_results(opened, empirical=lambda _: EMPIRICAL)
    with pytest.raises(CheckpointError, match="has changed since it was opened"):
        sign(opened, tmp_path / "key.pem")
    assert not (tmp_path / "model" / "manifest.sig").exists()
    sign(open_checkpoint(tmp_path / "model"), tmp_path / "key.pem")


def test_a_writer_gives_up_on_one_that_does_not_end(original, tmp_path, monkeypatch):
    shutil.copytree(original[0].path, tmp_path / "model")
    opened = open_checkpoint(tmp_path / "model")
    monkeypatch.setattr(module, "LOCK_WAIT", 0.05)
    with (
        exclusive_lock(tmp_path / "model" / ".lock", otherwise=AssertionError()),
        pytest.raises(CheckpointError, match="another process has been writing"),
    ):
        record_results(opened, empirical=lambda _: EMPIRICAL)
