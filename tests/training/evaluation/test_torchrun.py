"""A rank of the real torchrun killed at work, another number of ranks to finish, and the counts of one process."""

import json
import signal
import subprocess
import sys
import time

import psutil
import pytest
import torch

from tests.processes import run_ranks
from zoo.results.log import read_log

NUM_IMAGES = 24


def torchrun(num_ranks, words, **named):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", num_ranks]
    command += ["-m", "zoo", "--", *words]  # torchrun would take `--max` and `--n` for short forms of its own options
    return subprocess.Popen(
        [str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **named
    )


def kill_one_rank(process, folder):
    """Kills, as `kill -9` does, one rank as soon as some part holds a row; whether it did."""
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        parts = [part.read_text() for part in folder.glob("*.part-*")]
        if any(len(part.splitlines()) > 2 for part in parts):
            ranks = [child for child in psutil.Process(process.pid).children() if "certify" in child.cmdline()]
            ranks[-1].send_signal(signal.SIGKILL)
            return True
        time.sleep(0.01)
    return False


@pytest.mark.slow
def test_ranks_under_torchrun_count_what_one_process_counts_even_after_a_kill(
    digits_checkpoint, zoo_command, tmp_path, monkeypatch
):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    words = ["certify", digits_checkpoint.path, "--task", "digits", "--max", NUM_IMAGES, "--n", 500, "--device", "cpu"]
    words += ["--json", "--output"]
    shared, alone = tmp_path / "shared" / "log.tsv", tmp_path / "alone.tsv"

    killed = torchrun(2, [*words, shared])
    was_killed = kill_one_rank(killed, shared.parent)
    _, err = killed.communicate(timeout=120)
    assert was_killed and killed.returncode != 0, err
    assert len(read_log(shared)) < NUM_IMAGES and list(shared.parent.glob("*.part-*"))

    (told,) = json.loads(run_ranks(3, [*words, shared]))  # printed once
    assert told["num_images"] == NUM_IMAGES and not list(shared.parent.glob("*.part-*"))

    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        assert zoo_command(*words, alone).code == 0
    finally:
        torch.set_num_threads(num_threads)
    rows, expected = read_log(shared), read_log(alone)
    assert [(row.idx, row.predict, row.radius, row.provenance) for row in rows] == [
        (row.idx, row.predict, row.radius, row.provenance) for row in expected
    ]
