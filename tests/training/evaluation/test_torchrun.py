"""A rank of the real torchrun killed at work, another number of ranks to finish, and the counts of one process."""

import json

import pytest
import torch

from tests.dying import torchrun_of_a_dying_rank
from tests.processes import run_ranks
from zoo.results.log import read_log

NUM_IMAGES = 24


@pytest.mark.slow
def test_ranks_under_torchrun_count_what_one_process_counts_even_after_a_kill(
    digits_checkpoint, zoo_command, tmp_path, monkeypatch
):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    words = ["certify", digits_checkpoint.path, "--task", "digits", "--max", NUM_IMAGES, "--n", 500, "--device", "cpu"]
    words += ["--json", "--output"]
    shared, alone = tmp_path / "shared" / "log.tsv", tmp_path / "alone.tsv"

    torchrun_of_a_dying_rank(2, [*words, shared], place="zoo.smoothing.engine:CertificationEngine.step:15")
    (part,) = shared.parent.glob("*.part-1")
    assert len(part.read_text().splitlines()) > 1 and len(read_log(shared)) < NUM_IMAGES

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
