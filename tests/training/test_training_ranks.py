"""The real torchrun: two processes train as one that splits its batches."""

import signal
import subprocess
import sys
import time

import psutil
import pytest
from safetensors.torch import load_file

from training.journal import read_log
from zoo.checkpoint import open_checkpoint

TASK = ["--task", "digits", "--architecture", "resnet10-quarter", "--limit-per-class", "16", "--device", "cpu"]
TEN_STEPS = ["--set", "batch_size=30", "--set", "epochs=2", "--set", "validation_share=0.1"]  # 150 images: 5 a step


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def start(words, *, ranks):
    launcher = [sys.executable, "-m"]
    if ranks > 1:
        launcher += ["torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks), "-m"]
    command = [*launcher, "zoo", *(["--"] if ranks > 1 else []), "train", *(str(word) for word in words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def trained(words, output, *, ranks):
    process = start([*words, "--output", output], ranks=ranks)
    _, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    return [line["loss"] for line in read_log(output / ".run") if line["kind"] == "train"]


@pytest.mark.slow
def test_two_ranks_lose_what_one_process_loses_that_forwards_their_shares_separately(tmp_path):
    words = [*TASK, *TEN_STEPS, "--objective", "consistency"]
    shared = trained(words, tmp_path / "shared", ranks=2)
    alone = trained([*words, "--set", "accumulation=2"], tmp_path / "alone", ranks=1)
    whole = trained(words, tmp_path / "whole", ranks=1)
    assert len(shared) == 10 and shared == pytest.approx(alone, abs=1e-5)
    assert shared != pytest.approx(whole, abs=1e-3), "batch normalization must have seen the shares"
    told = open_checkpoint(tmp_path / "shared").spec.certified.batch_statistics
    assert told == "the first of 2 processes, which saw its share of every batch"


@pytest.mark.slow
def test_two_ranks_lose_what_a_plain_process_loses_where_batch_statistics_are_frozen(digits_checkpoint, tmp_path):
    frozen = ["--init", digits_checkpoint.path, "--set", "batch_statistics=no-layer", "--set", "precision=float64"]
    words = [*TASK, *TEN_STEPS, "--objective", "smoothmix", *frozen]
    shared = trained(words, tmp_path / "shared", ranks=2)
    alone = trained(words, tmp_path / "alone", ranks=1)
    assert len(shared) == 10 and shared == pytest.approx(alone, abs=1e-10)
    other = trained([*words, "--seed", "1"], tmp_path / "other", ranks=1)
    assert other != pytest.approx(alone, abs=1e-3)


@pytest.mark.slow
def test_a_rank_killed_mid_epoch_ends_the_run_with_one_sentence_and_resuming_gives_the_same_weights(tmp_path):
    words = [*TASK, *TEN_STEPS, "--objective", "simclr", "--set", "epochs=4", "--output"]
    cut, whole = tmp_path / "cut", tmp_path / "whole"
    process = start([*words, cut], ranks=2)
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        if (cut / ".run" / "log.jsonl").exists() and len(read_log(cut / ".run")) in (7, 8):  # in the second epoch
            ranks = [child for child in psutil.Process(process.pid).children() if "train" in child.cmdline()]
            ranks[-1].send_signal(signal.SIGKILL)
            break
        time.sleep(0.005)
    _, err = process.communicate(timeout=120)
    assert process.returncode != 0 and "Signal 9" in err, err
    assert "zoo: another rank ended early: what was finished is kept" in err or "SIGTERM" in err

    resumed = start([*words, cut, "--resume"], ranks=2)
    assert resumed.communicate(timeout=240) and resumed.returncode == 0
    untouched = start([*words, whole], ranks=2)
    assert untouched.communicate(timeout=240) and untouched.returncode == 0
    a, b = (load_file(path / "model.safetensors") for path in (cut, whole))
    assert all((value == b[name]).all() for name, value in a.items())
    assert [line["step"] for line in read_log(cut / ".run")] == list(range(1, len(read_log(whole / ".run")) + 1))

    other = start([*words, cut, "--resume"], ranks=1)
    _, err = other.communicate(timeout=240)
    assert other.returncode == 2 and "num_ranks was 2, is 1" in err
