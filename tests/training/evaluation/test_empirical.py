"""Measuring a classifier: numbers from rows, the same rows after any interruption, never another run's."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from training.evaluation.attacks import find_attack
from training.evaluation.empirical import evaluate_network, evaluated_backend, mean_per_class, merge_results
from training.evaluation.empirical_log import EmpiricalLog, EmpiricalRow, EmpiricalRun
from training.evaluation.empirical_report import sentences
from training.evaluation.run_record import run_record_path
from training.tasks import open_task
from training.tasks.task import ArrayImages, Task
from training.threat import ThreatModel
from zoo.errors import LogError, RequestError, UnknownNameError
from zoo.models.spec import Preprocessing
from zoo.results.selection import Selection
from zoo.results.summary import binomial_interval
from zoo.smoothing import BaseClassifier, TorchBackend

SMALL = Preprocessing(resize=8, crop=8)
L2 = ThreatModel(epsilon=0.6)


def toy_task(num_classes=3, *, num_images=40, seed=0):
    """Pictures of one gray level a class, scattered; the first class has twice as many images."""
    rng = np.random.default_rng(seed)
    labels = (rng.integers(0, num_classes + 1, num_images) % num_classes).tolist()
    levels = 40 + 170 * np.asarray(labels) / max(1, num_classes - 1)
    levels = levels + rng.normal(0, 25, num_images)
    pixels = np.clip(levels[:, None, None] + rng.normal(0, 10, (num_images, 8, 8)), 0, 255).astype(np.uint8)
    pictures = ArrayImages(pixels, labels)
    names = tuple(str(label) for label in range(num_classes))
    return Task(
        name="toy", class_names=names, preprocessing=SMALL, augmentation="none", train=pictures, test=pictures
    )  # fmt: skip


class Toy(nn.Module):
    """Logits by the distance of the mean level from each class's, and a little curvature; counts its batches."""

    def __init__(self, num_classes=3):
        super().__init__()
        self.levels = nn.Parameter((40 + 170 * torch.arange(num_classes) / max(1, num_classes - 1)) / 255)
        self.sizes = []
        self.left = None

    def forward(self, x_BCHW):
        self.sizes.append(len(x_BCHW))
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt
        mean_B1 = (x_BCHW + 0.02 * torch.sin(9 * x_BCHW)).flatten(1).mean(dim=1, keepdim=True)
        return -30 * (mean_B1 - self.levels).square()


def attack_of(name="apgd", threat=L2, *, num_classes=3, **settings):
    return find_attack(name, threat, num_classes=num_classes, seed=0, **{"num_steps": 8, **settings})


def log_of(path, attack, *, batch_size=16, seed=0, sha="ab" * 32):
    run = EmpiricalRun(
        model_sha256=sha, preprocessing=SMALL, task="toy", data="", attack=attack, backend="torch-cpu-float32",
        batch_size=batch_size, seed=seed,
    )  # fmt: skip
    return EmpiricalLog(path, run)


def evaluate(network=None, *, task=None, attack=None, batch_size=16, seed=0, sigmas=(), **more):
    task, network = task or toy_task(), network or Toy()
    base = network if isinstance(network, BaseClassifier) else TorchBackend(network, num_classes=task.num_classes)
    return evaluate_network(
        base, task, SMALL, sigmas=sigmas, batch_size=batch_size, seed=seed, attack=attack, **more
    )  # fmt: skip


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return open_task("digits", data_dir=tmp_path_factory.mktemp("data"))


def rows_in(path):
    text = path.read_text()
    return EmpiricalLog(path, None).parse(text, source=str(path))


def test_numbers_are_those_of_the_rows_with_their_intervals(tmp_path):
    attack = attack_of()
    result = evaluate(attack=attack, log=log_of(tmp_path / "log.tsv", attack), sigmas=(0.0, 0.5))
    rows = rows_in(tmp_path / "log.tsv")
    correct, robust = [row.clean_correct for row in rows], [row.robust for row in rows]
    assert result.num_images == len(rows) == 40 and 0 < sum(robust) < sum(correct)
    assert result.standard_accuracy == sum(correct) / 40 == result.noise[0].accuracy
    assert result.standard_accuracy_interval == binomial_interval(sum(correct), 40) == result.noise[0].interval
    assert result.robust_accuracy == sum(robust) / 40
    assert result.robust_accuracy_interval == binomial_interval(sum(robust), 40)
    assert result.noise[1].interval[0] <= result.noise[1].accuracy <= result.noise[1].interval[1]
    classes = {row.label for row in rows}
    by_class = [np.mean([row.clean_correct for row in rows if row.label == label]) for label in classes]
    assert result.mean_per_class_accuracy == pytest.approx(np.mean(by_class))
    assert all(row.robust == (row.clean_correct and row.attacked_predict == row.label) for row in rows)
    assert all((row.distance == 0) == (row.attacked_predict == row.predict) for row in rows)
    assert max(row.distance for row in rows) <= 0.6 and {row.attack for row in rows} == {"apgd"}


def test_every_class_weighs_alike_in_the_mean_over_classes():
    labels, are_right = [0] * 9 + [1], [True] * 9 + [False]
    assert mean_per_class(labels, are_right) == 0.5  # and not 0.9
    assert mean_per_class([4, 4], [True, False]) == 0.5  # of the classes that there are


def test_the_precision_is_named_and_only_float32_is_attacked():
    rounded = TorchBackend(Toy(), num_classes=3, precision="bfloat16")
    assert evaluate(rounded, sigmas=(0.1,)).backend == "torch-cpu-bfloat16"
    with pytest.raises(RequestError, match="apgd is computed in float32, not in bfloat16: omit --precision"):
        evaluate(rounded, attack=attack_of())


def test_without_a_log_it_says_the_same():
    attack = attack_of()
    assert evaluate(attack=attack) == evaluate(attack=attack)


@pytest.mark.parametrize(
    ("name", "settings"),
    [("apgd", {"num_restarts": 2}), ("pgd", {"num_restarts": 2}), ("smoothed-pgd", {"sigma": 0.1, "n": 50})],
)
@pytest.mark.parametrize("after", [1, 9, 24])
def test_an_evaluation_that_was_killed_ends_with_the_rows_of_one_that_was_not(name, settings, after, tmp_path):
    attack = attack_of(name, **settings)
    whole = evaluate(attack=attack, log=log_of(tmp_path / "whole.tsv", attack))
    dying = Toy()
    dying.left = after
    with pytest.raises(KeyboardInterrupt):
        evaluate(dying, attack=attack, log=log_of(tmp_path / "cut.tsv", attack))
    cut = tmp_path / "cut.tsv"
    assert len(rows_in(cut)) < 40
    text = cut.read_text()
    with cut.open("w") as file:  # killed between two rows of a batch, and in the middle of a write
        file.write("\n".join(text.splitlines()[:-3] or text.splitlines()[:1]) + "\n39\t1\t")
    assert evaluate(attack=attack, log=log_of(cut, attack)) == whole
    assert cut.read_bytes() == (tmp_path / "whole.tsv").read_bytes()
    assert sorted(path.name for path in tmp_path.glob("cut*")) == ["cut.tsv", "cut.tsv.run.json"]


def test_a_killed_evaluation_of_a_trained_network_too(digits_checkpoint, digits, tmp_path):
    base = evaluated_backend(digits_checkpoint, device=torch.device("cpu"))
    attack = attack_of(num_classes=10, num_steps=6)
    settings = {"sigmas": (), "batch_size": 10, "seed": 0, "attack": attack, "selection": Selection(skip=12)}
    preprocessing = digits_checkpoint.spec.preprocessing

    def rows(name):
        evaluate_network(base, digits, preprocessing, log=log_of(tmp_path / name, attack, batch_size=10), **settings)
        return (tmp_path / name).read_text()

    whole = rows("whole.tsv")
    lines = whole.splitlines()
    (tmp_path / "cut.tsv").write_text("\n".join(lines[:14]) + "\n")
    run_record_path(tmp_path / "whole.tsv").rename(run_record_path(tmp_path / "cut.tsv"))
    assert rows("cut.tsv") == whole and len(lines) == 31


def test_what_the_log_holds_is_not_computed_again(tmp_path):
    attack = attack_of()
    log = log_of(tmp_path / "log.tsv", attack)
    first = evaluate(attack=attack, log=log)
    network = Toy()
    assert evaluate(network, attack=attack, log=log) == first
    assert network.sizes == []


def test_more_images_are_measured_into_the_same_log(tmp_path):
    attack = attack_of()
    evaluate(attack=attack, log=log_of(tmp_path / "log.tsv", attack), selection=Selection(maximum=20))
    few = rows_in(tmp_path / "log.tsv")
    result = evaluate(attack=attack, log=log_of(tmp_path / "log.tsv", attack))
    assert rows_in(tmp_path / "log.tsv")[:20] == few and (result.num_images, result.maximum) == (40, None)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"sha": "f" * 64}, "model_sha256 was"),
        ({"seed": 1}, "(seed was 0, is 1)"),
        ({"batch_size": 8}, "(batch_size was 16, is 8)"),
        ({"attack": None}, "attack was 'apgd', is None"),
        ({"attack": attack_of("pgd")}, "attack was 'apgd', is 'pgd'"),
        ({"attack": attack_of(num_steps=9)}, "(num_steps was 8, is 9)"),
        ({"attack": attack_of(num_restarts=2)}, "(num_restarts was 1, is 2)"),
        ({"attack": attack_of(loss="dlr")}, "(loss was 'ce', is 'dlr')"),
        ({"attack": attack_of(threat=ThreatModel(norm="linf", epsilon=0.6))}, "(norm was 'l2', is 'linf')"),
        ({"attack": attack_of(threat=ThreatModel(epsilon=0.7))}, "epsilon was 0.6, is 0.7"),
    ],
)
def test_a_log_of_another_run_is_not_gone_on_with(change, said, tmp_path):
    path, attack = tmp_path / "log.tsv", attack_of()
    evaluate(attack=attack, log=log_of(path, attack), selection=Selection(maximum=10))
    before = path.read_bytes()
    other = {"attack": attack, **change}
    with pytest.raises(LogError, match=re.escape(said)):
        evaluate(attack=other["attack"], log=log_of(path, **other))
    assert path.read_bytes() == before


def test_a_log_of_other_images_or_of_something_else_is_not_gone_on_with(tmp_path):
    path, attack = tmp_path / "log.tsv", attack_of()
    evaluate(attack=attack, log=log_of(path, attack), selection=Selection(maximum=10))
    with pytest.raises(LogError, match="contains images that"):
        evaluate(attack=attack, log=log_of(path, attack), selection=Selection(skip=3))
    path.write_text("idx\tlabel\tpredict\tradius\tcorrect\ttime\n")
    with pytest.raises(LogError, match="does not have the expected columns idx label predict clean_correct"):
        evaluate(attack=attack, log=log_of(path, attack))


GOOD = EmpiricalRow(
    idx=3, label=1, predict=1, clean_correct=True, attacked_predict=0, robust=False, distance=0.25, attack="pgd"
)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"clean_correct": False}, "clean_correct is 0, but label is 1, predict 1"),
        ({"robust": True}, "robust is 1, but label is 1 and attacked_predict 0"),
        ({"distance": None}, "some but not all columns of the attack are empty"),
        ({"predict": -2, "clean_correct": False}, "out of range"),
    ],
)
def test_a_row_that_cannot_be_is_refused_by_line(change, said):
    log = EmpiricalLog(None, None)
    text = log.header + "\n" + log.format_row(GOOD) + "\n"
    assert log.parse(text, source="log") == [GOOD]
    with pytest.raises(LogError, match=f"log, line 3: .*{said}"):
        log.parse(text + log.format_row(replace(GOOD, **change)) + "\n", source="log")
    with pytest.raises(LogError, match="log, line 3: expected 8 columns"):
        log.parse(text + "1\t2\n", source="log")


def test_images_are_streamed_in_batches():
    network = Toy()
    evaluate(network, attack=attack_of(), batch_size=7, sigmas=(0.1,))
    assert max(network.sizes) == 7


def test_accuracy_hardly_depends_on_the_batch_size():
    results = [evaluate(attack=attack_of(), batch_size=size, sigmas=(0.3,)) for size in (5, 16, 64)]
    assert len({(result.standard_accuracy, result.robust_accuracy, result.noise) for result in results}) == 1


def test_skip_and_max_choose_images_for_clean_noise_and_attack_alike():
    network = Toy()
    result = evaluate(network, attack=attack_of(), selection=Selection(skip=3, maximum=20), sigmas=(0.1,))
    assert result.num_images == 7 and result.images == "evenly spaced images 0, 3, 6 and so on below 20"
    assert result.standard_accuracy_interval == binomial_interval(round(7 * result.standard_accuracy), 7)
    assert result.noise[0].accuracy * 7 == pytest.approx(round(result.noise[0].accuracy * 7))


@pytest.mark.parametrize("name", ["apgd", "pgd"])
def test_two_classes_are_attacked_by_cross_entropy_and_dlr_is_refused_before_anything_is_computed(name):
    task, network = toy_task(2), Toy(2)
    attack = attack_of(name, ThreatModel(epsilon=9.0), num_classes=2, num_steps=None)
    result = evaluate(network, task=task, attack=attack)
    assert result.robust_accuracy < 0.2 < 0.9 < result.standard_accuracy
    with pytest.raises(RequestError, match="there are 2: use --loss ce"):
        attack_of(name, num_classes=2, loss="dlr")


@pytest.mark.parametrize("loss", ["ce", "dlr"])
def test_three_classes_are_attacked_by_either_loss(loss):
    attack = attack_of(threat=ThreatModel(epsilon=5.0), loss=loss, num_steps=None)
    assert evaluate(attack=attack).robust_accuracy < 0.2


def test_more_steps_and_restarts_break_no_fewer():
    weak, strong = attack_of("pgd", num_steps=1), attack_of("apgd", num_steps=50, num_restarts=3)
    assert evaluate(attack=strong).robust_accuracy <= evaluate(attack=weak).robust_accuracy


def test_an_attack_has_its_usual_settings():
    apgd, pgd = (find_attack(name, L2, num_classes=10, seed=5) for name in ("apgd", "pgd"))
    assert (apgd.num_steps, apgd.loss, apgd.num_restarts, apgd.step_size, apgd.seed) == (100, "ce", 1, 1.2, 5)
    assert (pgd.num_steps, pgd.loss, pgd.step_size, pgd.start) == (20, "ce", pytest.approx(0.075), "the image")
    assert apgd.describe() == (
        "apgd (1), l2 epsilon 0.6, 100 steps of 1.2 from a random point at distance epsilon, loss ce, seed 5"
    )


@pytest.mark.parametrize(
    ("name", "settings", "error", "said"),
    [
        (
            "agpd",
            {},
            UnknownNameError,
            "unknown attack 'agpd'; known: apgd, autoattack, pgd, smoothed-pgd. Did you mean",
        ),
        (
            "apgd",
            {"sigma": 0.5},
            RequestError,
            "apgd does not take --sigma; it takes --attack-steps, --restarts, --loss",
        ),
        ("autoattack", {"num_steps": 5}, RequestError, "autoattack does not take --attack-steps; it takes no option"),
        ("smoothed-pgd", {"sigma": 0.5, "loss": "ce"}, RequestError, "smoothed-pgd does not take --loss"),
        ("smoothed-pgd", {}, RequestError, "give --sigma above 0"),
        ("smoothed-pgd", {"sigma": 0.0}, RequestError, "give --sigma above 0"),
        ("smoothed-pgd", {"sigma": 0.5, "n": 3}, RequestError, "n=3 can never decide"),
    ],
)
def test_an_attack_that_cannot_be_is_refused(name, settings, error, said):
    with pytest.raises(error, match=re.escape(said)):
        find_attack(name, L2, num_classes=3, seed=0, **settings)


def test_what_is_recorded_keeps_the_base_and_the_smoothed_classifier_side_by_side():
    base = evaluate(attack=attack_of())
    smoothed = base.model_copy(update={"classifier": "smoothed"})
    clean = evaluate()
    assert merge_results(None, smoothed, measure_base=lambda: clean) == clean.model_copy(update={"smoothed": smoothed})
    both = merge_results(base, smoothed, measure_base=None)
    assert (both.robust_accuracy, both.smoothed) == (base.robust_accuracy, smoothed)
    assert merge_results(both, clean, measure_base=None) == clean.model_copy(update={"smoothed": smoothed})


def test_the_sentences_say_images_interval_and_how_it_was_attacked():
    said = "\n".join(sentences(evaluate(attack=attack_of(), sigmas=(0.5,), selection=Selection(skip=2))))
    assert "on 20 images (evenly spaced images 0, 2, 4 and so on)" in said
    assert re.search(r"mean per-class robust accuracy \d+\.\d %", said)
    assert re.search(r"noise of sigma 0.5: \d+\.\d % \(\d+\.\d to \d+\.\d %\)", said)
    assert "under apgd (1), l2 epsilon 0.6, 8 steps of 1.2 from a random point" in said and "upper bound" not in said
