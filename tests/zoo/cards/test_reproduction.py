"""The commands on a card are those that gave its numbers: run again, they go on with the very same run."""

import json
import shlex
import shutil

import pytest

from tests.zoo.cards.test_attack_cards import ATTACKED
from tests.zoo.cards.test_card import CERTIFICATION, card_of
from zoo.cards.reproduction import evaluate_commands, train_command
from zoo.checkpoints.checkpoint import open_checkpoint
from zoo.results.contradictions import contradictions
from zoo.results.log import read_log


def printed_on_card(path, command):
    """The one line of the checkpoint's card that begins so."""
    (line,) = [line for line in (path / "README.md").read_text().splitlines() if line.startswith(command)]
    return line


def again(zoo_command, line, path, output):
    """Runs a printed command on the checkpoint into a log that is there, which only the same run may go on with."""
    words = [str(path) if word == "MODEL" else word for word in shlex.split(line)[1:]]
    if "--output" in words:
        words[words.index("--output") + 1] = str(output)
    else:
        words += ["--output", str(output)]
    return zoo_command(*words)


@pytest.mark.parametrize(
    "options",
    [
        "--n0 11 --n 130 --backend torch --batch-size 37 --seed 5",
        "--n 130 --alpha 0.0123456789 --sigma 0.123456789 --noise discrete --max 300 --backend onnx --family",
        "--n 200 --stopping anytime --tolerance 0.0712345678 --backend torch --batch-size 9",
        "--n 200 --stopping at-radius --radius 0.123456789 --precision bfloat16",
    ],
)
def test_the_certify_command_is_of_the_run_that_was_recorded(
    options, copy_of_digits, zoo_command, tmp_path, monkeypatch
):
    monkeypatch.setattr("zoo.loading.backend.cpu_has_bfloat16", lambda: True)
    log = tmp_path / "log.tsv"
    words = ["certify", copy_of_digits, "--task", "digits", "--skip", 90, "--output", log, "--record", "--json"]
    done = zoo_command(*words, *options.split())
    assert done.code == 0, done.err
    text, result = log.read_text(), open_checkpoint(copy_of_digits).spec.certified.certification
    assert contradictions(result, read_log(log), labels=None) == []
    assert (result.family is not None) == ("--family" in options)
    line = printed_on_card(copy_of_digits, "zoo certify")
    assert "--device cpu" in line
    done = again(zoo_command, line, copy_of_digits, log)
    assert done.code == 0, done.err
    assert log.read_text() == text


def test_a_certify_command_that_is_of_another_run_is_refused(copy_of_digits, zoo_command, tmp_path):
    log = tmp_path / "log.tsv"
    words = ["certify", copy_of_digits, "--task", "digits", "--skip", 90, "--output", log, "--record"]
    assert zoo_command(*words, "--n", 130, "--backend", "torch", "--batch-size", 37).code == 0
    line = printed_on_card(copy_of_digits, "zoo certify").replace("--batch-size 37 ", "")
    done = again(zoo_command, line, copy_of_digits, log)
    assert done.code == 2 and "belongs to another run (batch_size was 37" in done.err


@pytest.mark.parametrize(
    "options",
    [
        "--attack apgd --epsilon 0.3123456789 --norm linf --attack-steps 3 --restarts 2 --loss dlr --batch-size 3",
        "--attack pgd --attack-steps 2 --max 300 --seed 6 --noise-sigmas 0.123456789,1",
        "--attack smoothed-pgd --sigma 0.3123456789 --noise-samples 2 --n 30 --attack-steps 1 --batch-size 2",
    ],
)
def test_the_evaluate_command_is_of_the_run_that_was_recorded(options, copy_of_digits, zoo_command, tmp_path):
    log = tmp_path / "log.tsv"
    words = ["evaluate", copy_of_digits, "--task", "digits", "--skip", 90, "--output", log, "--record", "--json"]
    first = zoo_command(*words, *options.split())
    assert first.code == 0, first.err
    spec = open_checkpoint(copy_of_digits).spec
    line = evaluate_commands(spec)[-1]
    assert line in (copy_of_digits / "README.md").read_text()
    second = again(zoo_command, f"{line} --json", copy_of_digits, log)
    assert second.code == 0, second.err
    assert json.loads(second.out) == json.loads(first.out)


def test_the_train_command_is_of_the_run_that_made_the_checkpoint(digits_checkpoint, zoo_command, tmp_path):
    shutil.copytree(digits_checkpoint.path, tmp_path / "run")
    line = printed_on_card(digits_checkpoint.path, "zoo train")
    assert "--device cpu" in line
    done = again(zoo_command, f"{line} --resume", tmp_path / "run", tmp_path / "run")
    assert done.code == 0, done.err
    assert open_checkpoint(tmp_path / "run").weights_sha256 == digits_checkpoint.weights_sha256
    refused = again(zoo_command, f"{line} --resume --seed 5", tmp_path / "run", tmp_path / "run")
    assert refused.code == 2 and "seed was" in refused.err


def test_the_train_command_starts_as_many_processes_as_trained(digits_checkpoint):
    spec = digits_checkpoint.spec
    certified = spec.certified.model_copy(update={"num_ranks": 2, "device": "cuda"})
    command = train_command(spec.model_copy(update={"certified": certified}))
    assert command.startswith("torchrun --nproc-per-node 2 -m zoo -- train --task digits ")
    assert "--device cuda" in command


def test_what_an_older_checkpoint_did_not_record_is_not_printed():
    _, body = card_of(certification=CERTIFICATION, empirical=ATTACKED)
    assert "--batch-size" not in body
    (line,) = [line for line in body.splitlines() if line.startswith("zoo evaluate")]
    assert "--device" not in line


@pytest.mark.parametrize("backend", ["torch", "my-own-backend-of-four"])
def test_a_backend_whose_name_tells_no_device_gets_none(backend):
    _, body = card_of(certification=CERTIFICATION.model_copy(update={"backend": backend}))
    (line,) = [line for line in body.splitlines() if line.startswith("zoo certify MODEL --task pets --skip")]
    assert "--device" not in line


def test_the_command_of_a_compiled_network_compiles_it():
    result = CERTIFICATION.model_copy(update={"backend": "torch-cuda-compiled-bfloat16"})
    _, body = card_of(certification=result)
    (line,) = [line for line in body.splitlines() if line.startswith("zoo certify MODEL --task pets --skip")]
    assert "--backend compiled --device cuda --precision bfloat16" in line


def test_the_command_names_the_bound_that_the_radii_rest_on_and_so_does_the_card():
    metadata, body = card_of(certification=CERTIFICATION.model_copy(update={"bound": "simultaneous"}))
    (line,) = [line for line in body.splitlines() if line.startswith("zoo certify MODEL --task pets --skip")]
    assert "--stopping fixed --bound simultaneous --backend" in line
    assert "bounds of the class and of the runner-up" in body and "one-sided" not in body
    assert metadata["model-index"][0]["results"][0]["metrics"][0]["args"]["bound"] == "simultaneous"
    _, old = card_of(certification=CERTIFICATION)
    assert "--bound" not in old, "a card of an earlier version is rendered as it was"
