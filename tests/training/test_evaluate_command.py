"""`zoo evaluate`, from words to exit code."""

import json
import re
from importlib.metadata import PackageNotFoundError

import pytest

from zoo.checkpoints.checkpoint import open_checkpoint

CONTRACT = {"standard_accuracy", "robust_accuracy", "attack", "noise", "num_images", "mean_per_class_accuracy"}


@pytest.fixture
def evaluate(zoo_command, digits_checkpoint):
    """`zoo evaluate` of the digits checkpoint, or another one, on some of its images."""

    def run(*words, model=digits_checkpoint.path, skip=30):
        return zoo_command("evaluate", model, "--task", "digits", "--skip", skip, *words)

    return run


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["apgd"], {"num_steps": 100, "loss": "ce", "num_restarts": 1, "norm": "l2", "epsilon": 0.5, "seed": 0}),
        (
            ["apgd", "--attack-steps", 3, "--restarts", 2, "--loss", "dlr", "--norm", "linf", "--epsilon", 0.1],
            {"num_steps": 3, "loss": "dlr", "num_restarts": 2, "norm": "linf", "epsilon": 0.1},
        ),
        (["pgd", "--seed", 4], {"num_steps": 20, "loss": "ce", "start": "the image", "seed": 4}),
    ],
)
def test_the_report_says_how_it_was_attacked_and_on_how_many_images(words, told, evaluate):
    done = evaluate("--attack", *words, "--noise-sigmas", "0.5", "--json")
    answer = json.loads(done.out)
    assert done.code == 0 and answer.keys() >= CONTRACT
    assert answer["attack"] == {**answer["attack"], "name": words[0], "version": "1", **told}
    assert (answer["num_images"], answer["skip"], answer["classifier"]) == (12, 30, "base")
    for name in ("standard_accuracy", "robust_accuracy"):
        low, high = answer[f"{name}_interval"]
        assert 0 <= low <= answer[name] <= high <= 1
    assert answer["robust_accuracy"] <= answer["standard_accuracy"]
    (point,) = answer["noise"]
    assert point["interval"][0] <= point["accuracy"] <= point["interval"][1]


def test_for_people_it_says_the_same(evaluate):
    said = evaluate("--attack", "pgd", "--attack-steps", 2, "--max", 200).out
    assert re.search(
        r"standard accuracy \d+\.\d % \(\d+\.\d to \d+\.\d %\) on 7 images \(evenly spaced images 0, 30, 60 and so",
        said,
    )
    assert "mean per-class robust accuracy" in said
    assert "under pgd (1), l2 epsilon 0.5, 2 steps of 0.625 from the image, loss ce, seed 0" in said


def test_a_log_is_gone_on_with_and_not_by_other_parameters(evaluate, tmp_path):
    log = tmp_path / "log.tsv"
    words = ["--attack", "apgd", "--attack-steps", 5, "--epsilon", 1.0, "--batch-size", 5, "--output", log, "--json"]
    whole = evaluate(*words)
    text = log.read_text()
    assert text.startswith("idx\tlabel\tpredict\tclean_correct\tattacked_predict\trobust\tdistance\tattack\n")
    assert len(text.splitlines()) == 13 and json.loads((tmp_path / "log.tsv.run.json").read_text())["epsilon"] == 1.0
    log.write_text("\n".join(text.splitlines()[:8]) + "\n210\t")
    again = evaluate(*words)
    assert (again.out, log.read_text()) == (whole.out, text)
    refused = evaluate(*words, "--seed", 1)
    assert refused.code == 2 and "belongs to another run (seed was 0, is 1): give another --output" in refused.err
    refused = evaluate(*words, skip=40)
    assert refused.code == 2 and "contains images that --skip, --max and --images do not select" in refused.err
    assert log.read_text() == text


def test_ctrl_c_says_what_was_kept(evaluate, monkeypatch, tmp_path):
    def interrupted(*words, **named):
        raise KeyboardInterrupt

    monkeypatch.setattr("training.evaluation.attack_targets.adversarial_images", interrupted)
    done = evaluate("--attack", "pgd", "--output", tmp_path / "log.tsv")
    assert done.code == 130 and "every finished row is kept; run the same command to resume" in done.err
    done = evaluate("--attack", "pgd")
    assert done.code == 130 and "nothing is kept without --output" in done.err


def test_the_smoothed_classifier_is_bounded_from_above_and_recorded_beside_the_base(evaluate, copy_of_digits):
    base = evaluate("--attack", "pgd", "--attack-steps", 2, "--record", "--json", model=copy_of_digits)
    words = ["--attack", "smoothed-pgd", "--noise-samples", 2, "--n", 100, "--attack-steps", 2, "--epsilon", 0.25]
    done = evaluate(*words, "--record", "--json", model=copy_of_digits, skip=60)
    told = json.loads(done.out)
    assert told["classifier"] == "smoothed"
    assert told["attack"]["smoothed"] == {"sigma": 0.5, "num_noise_samples": 2, "n": 100, "alpha": 0.001}
    recorded = open_checkpoint(copy_of_digits).spec.certified.empirical
    assert recorded.robust_accuracy == json.loads(base.out)["robust_accuracy"]
    assert (recorded.smoothed.robust_accuracy, recorded.smoothed.num_images) == (told["robust_accuracy"], 6)
    card = (copy_of_digits / "README.md").read_text()
    assert "Robust accuracy of the base classifier:" in card and "under pgd (1), l2 epsilon 0.5" in card
    assert "Robust accuracy of the smoothed classifier at sigma 0.5: at most" in card
    said = evaluate(*words, skip=60).out
    assert "the smoothed classifier's robust accuracy" in said and "this is an upper bound: a better attack" in said


def test_autoattack_leaves_no_more_than_its_first_attack_and_says_what_it_ran(evaluate, monkeypatch):
    pytest.importorskip("pyautoattack")
    monkeypatch.setattr("training.attacks.autoattack.STANDARD", ("apgd-ce",))  # the others take minutes
    words = ["--epsilon", 1.0, "--json"]
    whole, first = (json.loads(evaluate("--attack", name, *words).out) for name in ("autoattack", "apgd"))
    assert whole["attack"]["version"].startswith("pyautoattack ") and whole["attack"]["loss"] is None
    assert whole["attack"]["notes"] == ["apgd-ce; number of targets 9"]
    assert abs(whole["robust_accuracy"] - first["robust_accuracy"]) <= 1 / 12  # other starts


def test_without_its_package_autoattack_says_what_to_install(evaluate, monkeypatch):
    def absent(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr("training.attacks.autoattack.version", absent)
    done = evaluate("--attack", "autoattack")
    assert done.code == 2 and "which is not installed: pip install pyautoattack" in done.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["--attack", "agpd"],
            "unknown attack 'agpd'; known: apgd, autoattack, pgd, smoothed-pgd. Did you mean 'apgd'",
        ),
        (["--attack", "apgd", "--loss", "cw"], "unknown loss 'cw'; known: ce, dlr"),
        (["--attack", "apgd", "--norm", "l1"], "norm must be l2 or linf, got 'l1'"),
        (["--attack", "apgd", "--epsilon", -1], "epsilon must be finite and at least 0"),
        (["--attack", "pgd", "--sigma", 0.5], "pgd does not take --sigma; it takes --attack-steps, --restarts, --loss"),
        (["--attack", "smoothed-pgd", "--sigma", 0], "give --sigma above 0"),
        (["--attack", "smoothed-pgd", "--n", 5], "n=5 can never decide"),
        (["--restarts", 2], "need an attack: give --attack NAME too"),
        (["--noise-sigmas", "x"], "--noise-sigmas takes comma-separated numbers"),
    ],
)
def test_a_wrong_request_ends_with_one_sentence(words, said, evaluate, tmp_path):
    done = evaluate(*words, "--output", tmp_path / "log.tsv")
    assert (done.code, done.out) == (2, "") and said in done.err and not list(tmp_path.iterdir())
