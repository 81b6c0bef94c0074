"""The log of a run: exact, cut back to the last finished epoch, and one sentence where the disk is full."""

import json
import resource
import signal
import sys
from functools import partial
from importlib import import_module
from pathlib import Path

import pytest

from tests.processes import ZooProcess
from tests.training.conftest import EPOCHS
from tests.training.test_trainer import same_weights, weights
from training.metric_logger import MetricLogger, read_log
from zoo.checkpoints.checkpoint import open_checkpoint
from zoo.errors import CheckpointError


def test_lines_keep_every_digit_and_those_of_an_unfinished_epoch_are_dropped_when_it_is_begun_again(tmp_path):
    with MetricLogger(tmp_path, steps_done=0) as logger:
        for step in range(1, 6):
            logger.write("train", {"loss": 1 / 3 + step}, step=step)
    assert read_log(tmp_path)[0] == {"step": 1, "kind": "train", "loss": 1 / 3 + 1}
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"step": 6, "ki')  # as a kill leaves it
    with MetricLogger(tmp_path, steps_done=3) as logger:
        logger.write("validation", {"accuracy_under_noise": 0.5}, step=3)
    assert [line["step"] for line in read_log(tmp_path)] == [1, 2, 3, 3]


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "log.jsonl").mkdir()
    with pytest.raises(CheckpointError, match=r"cannot write .*log\.jsonl: Is a directory; the last finished epoch"):
        MetricLogger(tmp_path, steps_done=0)


def fill_the_disk(module, hook, is_full, limit):
    """Lets files grow to `limit` bytes only, from the first call of `module.hook` on whose arguments `is_full`."""
    hooked = import_module(module)
    real = getattr(hooked, hook)

    def full(*words, **named):
        if is_full(named):
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        return real(*words, **named)

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    setattr(hooked, hook, full)


def is_step_15(named):
    return named["step"] == 15


def has_logged_15_lines(named):
    return named and len((Path(sys.argv[-1]) / ".run" / "log.jsonl").read_text().splitlines()) > 15


@pytest.mark.slow
@pytest.mark.parametrize(
    ("when", "said"),
    [
        (
            ("training.phases", "lr_factor", is_step_15, 1000),
            "log.jsonl: File too large; the last finished epoch is kept",
        ),
        (("training.trainer", "votes_under_noise", has_logged_15_lines, 100_000), "state.pt: "),
    ],
)
def test_a_full_disk_leaves_the_last_epochs_checkpoint_and_resuming_ends_as_if_nothing_had_happened(
    when, said, short_run, zoo_command, tmp_path
):
    """A limit on the size of files, which the system refuses as it refuses a full disk, set in the third epoch."""
    output = tmp_path / "c"
    words = [*short_run.words, str(output)]
    full = ZooProcess(words, before=partial(fill_the_disk, *when))
    code, stderr = full.wait(), full.stderr.whole()
    assert code == 1 and said in stderr and str(output) in stderr, stderr
    assert "Traceback" not in stderr and open_checkpoint(output).spec.certified.epochs in (1, 2)
    assert not [path.name for path in output.iterdir() if path.name.endswith(".tmp")] and weights(output)

    resumed = zoo_command(*words, "--resume", "--json")
    assert resumed.code == 0 and json.loads(resumed.out)["epochs"] == EPOCHS
    assert same_weights(short_run.checkpoint, output)


def test_scalars_of_an_unfinished_epoch_are_forgotten_by_tensorboard_too(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for steps_done, loss in ((0, 1.0), (2, 5.0)):
        with MetricLogger(tmp_path, steps_done=steps_done) as logger:
            for step in range(steps_done + 1, steps_done + 4):
                logger.write("train", {"loss": loss, "lr": 0.1}, step=step)
    events = EventAccumulator(str(tmp_path / "scalars"))
    events.Reload()
    told = [(event.step, event.value) for event in events.Scalars("train/loss")]
    assert told == [(1, 1.0), (2, 1.0), (3, 5.0), (4, 5.0), (5, 5.0)]
