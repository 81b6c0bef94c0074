"""Two processes train as one that splits its batches, and the real torchrun ends a run that loses one of them."""

import pytest
import torch
from safetensors.torch import load_file

from tests.dying import torchrun_of_a_dying_rank
from tests.processes import run_ranks
from training.metric_logger import read_log
from zoo.checkpoints.checkpoint import open_checkpoint

TASK = ["--task", "digits", "--architecture", "resnet10-quarter", "--limit-per-class", "8", "--device", "cpu"]
BATCHES = ["--set", "batch_size=15", "--set", "validation_share=0.1"]  # 72 images: 5 steps per epoch
TEN_STEPS = [*BATCHES, "--set", "epochs=2"]
CONSISTENCY = [*TASK, *BATCHES, "--set", "epochs=4", "--objective", "consistency"]


@pytest.fixture(autouse=True)
def one_thread():
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(num_threads)


def losses(output):
    return [line["loss"] for line in read_log(output / ".run") if line["kind"] == "train"]


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """The checkpoint that two ranks trained with consistency, without an interruption."""
    output = tmp_path_factory.mktemp("two_ranks") / "shared"
    run_ranks(2, ["train", *CONSISTENCY, "--output", output])
    return output


@pytest.mark.slow
def test_two_ranks_lose_what_one_process_loses_that_forwards_their_shares_separately(shared, zoo_command, tmp_path):
    alone, whole = tmp_path / "alone", tmp_path / "whole"
    assert zoo_command("train", *CONSISTENCY, "--set", "accumulation=2", "--output", alone).code == 0
    assert zoo_command("train", *CONSISTENCY, "--output", whole).code == 0
    assert len(losses(shared)) == 20 and losses(shared) == pytest.approx(losses(alone), abs=1e-5)
    assert losses(shared) != pytest.approx(losses(whole), abs=1e-3), "batch normalization must have seen the shares"
    told = open_checkpoint(shared).spec.certified.batch_statistics
    assert told == "the first of 2 processes, which saw its share of every batch"


@pytest.mark.slow
def test_two_ranks_lose_what_a_plain_process_loses_where_batch_statistics_are_frozen(
    digits_checkpoint, zoo_command, tmp_path
):
    frozen = ["--init", digits_checkpoint.path, "--set", "batch_statistics=no-layer", "--set", "precision=float64"]
    words = [*TASK, *TEN_STEPS, "--objective", "smoothmix", *frozen]
    shared, alone, other = (tmp_path / name for name in ("shared", "alone", "other"))
    run_ranks(2, ["train", *words, "--output", shared])
    assert zoo_command("train", *words, "--output", alone).code == 0
    assert zoo_command("train", *words, "--seed", 1, "--output", other).code == 0
    assert len(losses(shared)) == 10 and losses(shared) == pytest.approx(losses(alone), abs=1e-10)
    assert losses(other) != pytest.approx(losses(alone), abs=1e-3)


@pytest.mark.slow
def test_a_rank_killed_mid_epoch_ends_the_run_with_one_sentence_and_resuming_gives_the_same_weights(
    shared, zoo_command, tmp_path
):
    words, cut = [*CONSISTENCY, "--output"], tmp_path / "cut"
    killed = torchrun_of_a_dying_rank(2, ["train", *words, cut], place="training.trainer:Batch:8")
    assert "Traceback" not in killed.stderr.partition("elastic")[0], killed.stderr
    assert open_checkpoint(cut).spec.certified.epochs == 1

    run_ranks(2, ["train", *words, cut, "--resume"])
    a, b = (load_file(path / "model.safetensors") for path in (cut, shared))
    assert all(torch.equal(value, b[name]) for name, value in a.items())
    assert losses(cut) == losses(shared)
    refused = zoo_command("train", *words, cut, "--resume")
    assert refused.code == 2 and "num_ranks was 2, is 1" in refused.err
