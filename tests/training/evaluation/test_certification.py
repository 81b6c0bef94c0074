"""Certifying a test set: a row an image, the same rows after any interruption, never another run's."""

import re
from collections import Counter

import pytest
import torch
from rich.console import Console

from tests.training.ranks import in_threads
from training.distributed import SINGLE_PROCESS
from training.evaluation.certification import certify_images
from training.evaluation.certification_log import CertificationRun
from training.evaluation.empirical import num_correct_under_noise
from training.evaluation.run_record import run_record_path
from training.tasks import open_task
from training.tasks.loading import EvaluationImages
from zoo.errors import LogError
from zoo.models.measurements import SharedAlpha
from zoo.models.preprocessing import prepare
from zoo.results.log import read_log
from zoo.smoothing import (
    Anytime,
    AtRadius,
    FixedSample,
    NoiseKey,
    NoisySampler,
    SamplingOptions,
    SmoothingSpec,
    TorchBackend,
)
from zoo.smoothing.noise import Draws, Phase

pytestmark = pytest.mark.usefixtures("two_threads")

QUIET = Console(quiet=True)
INDICES = list(range(3, 43, 5))


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return open_task("digits", data_dir=tmp_path_factory.mktemp("data"))


class NearestMean(torch.nn.Module):
    """The class whose mean picture is nearest, on every other pixel: quick, often right, and unsure under noise."""

    def __init__(self, x_BCHW, labels):
        super().__init__()
        labels_B = torch.tensor(labels)
        means_KF = torch.stack([features(x_BCHW[labels_B == label]).mean(dim=0) for label in range(10)])
        self.register_buffer("means_KF", means_KF)

    def forward(self, x_BCHW):
        return features(x_BCHW) @ self.means_KF.T - self.means_KF.square().sum(dim=1) / 2


def features(x_BCHW):
    return x_BCHW[:, 0, ::2, ::2].flatten(1)


@pytest.fixture(scope="module")
def network(digits):
    num = 300
    x_BCHW = torch.stack([prepare(digits.train[index], digits.preprocessing) for index in range(num)])
    return NearestMean(x_BCHW, digits.train.labels[:num])


@pytest.fixture
def certify(network, digits, tmp_path):
    """Certifies a few digits into a log; keywords change the run."""
    base = TorchBackend(network, num_classes=10)

    def run(
        output="log.tsv",
        *,
        indices=INDICES,
        base=base,
        sha="a" * 64,
        data="",
        backend="torch-cpu-float32",
        seed=0,
        family=None,
        ranks=SINGLE_PROCESS,
        **smoothing,
    ):
        run = CertificationRun(
            model_sha256=sha,
            preprocessing=digits.preprocessing,
            task="digits",
            data=data,
            smoothing=SmoothingSpec(**({"sigma": 0.5, "stopping": FixedSample(200)} | smoothing)),
            backend=backend,
            batch_size=64,
            seed=seed,
            family=family,
        )
        path = tmp_path / output
        options = SamplingOptions(batch_size=64)
        return certify_images(run, base, digits.test, indices, output=path, options=options, console=QUIET, ranks=ranks)

    return run


def told(rows):
    """What rows say, but for the time that they took."""
    return [(row.idx, row.label, row.predict, row.radius, row.correct, row.provenance) for row in rows]


def test_there_is_a_row_an_image_in_order_and_the_log_holds_the_same(certify, tmp_path):
    rows = certify()
    assert [row.idx for row in rows] == INDICES
    assert read_log(tmp_path / "log.tsv") == rows
    assert sum(row.correct for row in rows) >= 6
    assert {row.provenance.n for row in rows} == {200} and {row.provenance.seed for row in rows} == {0}


def test_rows_count_the_votes_for_the_true_class_and_for_the_runner_up(certify, network, digits):
    """Recounted from the base classifier's own answers, whose draws a second sampler repeats."""
    rows = certify(stopping=FixedSample(200, "simultaneous"), sigma=2.0)
    assert any(row.predict != row.label for row in rows) and any(row.correct for row in rows)
    sampler = NoisySampler(TorchBackend(network, num_classes=10), SamplingOptions(batch_size=64))
    for row in rows:
        x_CHW = prepare(digits.test[row.idx], digits.preprocessing).numpy()
        key = NoiseKey(root=0, job=row.idx)
        selection, estimation = (
            Counter(sampler.votes([Draws(x_CHW, 2.0, "gaussian", key, phase, 0, num)])[0].tolist())
            for phase, num in ((Phase.SELECTION, 100), (Phase.ESTIMATION, 200))
        )
        selected = min(selection, key=lambda label: (-selection[label], label))
        others = [votes for label, votes in estimation.items() if label != selected]
        assert row.provenance.count_a == estimation[selected]
        assert row.provenance.count_b == max(others, default=0)
        assert row.provenance.count_label == estimation[row.label]


@pytest.mark.parametrize("noise", ["gaussian", "discrete"])
@pytest.mark.parametrize("rule", [FixedSample(200), AtRadius(0.5, max_n=2000), Anytime(max_n=2000, tolerance=0.2)])
def test_rows_say_rule_radius_asked_noise_backend_and_the_draws_that_were_made(rule, noise, certify, tmp_path):
    rows = certify(stopping=rule, noise=noise)
    assert read_log(tmp_path / "log.tsv") == rows
    for provenance in (row.provenance for row in rows):
        assert (provenance.stopping, provenance.radius_asked) == (rule.name, rule.radius_asked)
        assert (provenance.noise, provenance.backend) == (noise, "torch-cpu-float32")
    draws = {row.provenance.n for row in rows}
    assert draws == {200} if rule.name == "fixed" else max(draws) <= 2000 and len(draws) > 1
    if rule.name == "at-radius":
        assert {row.radius for row in rows} <= {0.0, 0.5} and any(row.radius == 0.5 for row in rows)


def test_an_interrupted_certification_ends_with_the_rows_of_one_that_was_not(certify, network, tmp_path):
    whole = certify("whole.tsv")

    class Dying(TorchBackend):
        calls = 0

        def classify(self, x_BCHW):
            self.calls += 1
            if self.calls > 17:
                raise KeyboardInterrupt
            return super().classify(x_BCHW)

    with pytest.raises(KeyboardInterrupt):
        certify("cut.tsv", base=Dying(network, num_classes=10))
    cut = tmp_path / "cut.tsv"
    assert 0 < len(read_log(cut)) < len(INDICES)
    with cut.open("a") as file:
        file.write("99\t4\t4\t0.12")  # a kill in the middle of a write
    assert told(certify("cut.tsv")) == told(whole)
    assert told(read_log(cut)) == told(whole)


@pytest.mark.parametrize("world_size", [2, 3])
def test_any_number_of_ranks_ends_with_the_rows_of_one_process(world_size, certify, tmp_path):
    alone = certify("alone.tsv")
    shared = in_threads(world_size, lambda ranks: certify("shared.tsv", ranks=ranks))
    assert [told(rows) for rows in shared] == [told(alone)] * world_size
    assert told(read_log(tmp_path / "shared.tsv")) == told(alone)
    assert not list(tmp_path.glob("*.part-*"))


@pytest.mark.parametrize("num_finishing", [1, 2])
def test_what_three_ranks_left_off_is_finished_by_another_number(num_finishing, certify, network, tmp_path):
    whole = certify("whole.tsv")

    class Dying(TorchBackend):
        def __init__(self, after):
            super().__init__(network, num_classes=10)
            self.left = after

        def classify(self, x_BCHW):
            self.left -= 1
            if self.left < 0:
                raise MemoryError("killed")
            return super().classify(x_BCHW)

    bases = [Dying(after) for after in (6, 0, 100)]
    ended = in_threads(3, lambda ranks: certify("cut.tsv", base=bases[ranks.rank], ranks=ranks))
    assert all(isinstance(error, BaseException) for error in ended)
    assert read_log(tmp_path / "cut.tsv") == []
    parts = sorted(path.name for path in tmp_path.glob("cut.tsv.part-*"))
    assert parts == ["cut.tsv.part-0", "cut.tsv.part-1", "cut.tsv.part-2"]
    num_kept = sum(len((tmp_path / part).read_text().splitlines()) - 2 for part in parts)
    assert 2 <= num_kept < len(INDICES)

    drawn = []

    class Counting(TorchBackend):
        def classify(self, x_BCHW):
            drawn.append(len(x_BCHW))
            return super().classify(x_BCHW)

    base = Counting(network, num_classes=10)
    if num_finishing == 1:
        rows = certify("cut.tsv", base=base)
    else:
        rows, _ = in_threads(num_finishing, lambda ranks: certify("cut.tsv", base=base, ranks=ranks))
    assert told(rows) == told(whole) == told(read_log(tmp_path / "cut.tsv"))
    assert not list(tmp_path.glob("*.part-*"))
    assert sum(drawn) < (len(INDICES) - num_kept + 2) * 320  # what was kept was not drawn for again


def test_ranks_that_were_started_differently_are_refused(certify, tmp_path):
    first, other = in_threads(2, lambda ranks: certify(ranks=ranks, seed=ranks.rank, indices=INDICES[ranks.rank :]))
    assert isinstance(first, LogError) and "rank 1 has other seed, images than rank 0" in str(first)
    assert other.exit_code == 2 and not (tmp_path / "log.tsv").exists()


def test_an_error_of_the_log_is_raised_on_every_rank(certify, tmp_path):
    certify(indices=INDICES[:2])
    ended = in_threads(3, lambda ranks: certify(ranks=ranks, seed=5))
    assert isinstance(ended[0], LogError) and [error.exit_code for error in ended] == [2, 2, 2]


def test_a_finished_log_is_not_drawn_for_again(certify):
    rows = certify()

    class Untouchable(TorchBackend):
        def classify(self, x_BCHW):
            raise AssertionError("nothing should be drawn")

    assert certify(base=Untouchable(torch.nn.Identity(), num_classes=10)) == rows


def test_more_images_can_be_certified_into_the_same_log(certify):
    few = certify(indices=INDICES[:3])
    assert certify()[:3] == few


def test_images_between_those_that_are_done_are_certified_into_their_place(certify, tmp_path):
    every_other = certify(indices=INDICES[::2])
    rows = certify()
    assert [row.idx for row in rows] == INDICES and rows[::2] == every_other
    assert read_log(tmp_path / "log.tsv") == rows


AT_HALF = {"stopping": AtRadius(0.5, max_n=200)}
ANYTIME = {"stopping": Anytime(max_n=200, tolerance=0.1)}


@pytest.mark.parametrize(
    ("begun", "change", "said"),
    [
        ({}, {"sha": "f" * 64}, "model_sha256 was"),
        ({}, {"data": "grown"}, "(data was '', is 'grown')"),
        ({}, {"seed": 1}, "(seed was 0, is 1)"),
        ({}, {"family": SharedAlpha(alpha=0.01, size=10)}, "(family was None, is {'alpha': 0.01, 'size': 10})"),
        ({}, {"sigma": 0.25}, "(sigma was 0.5, is 0.25)"),
        ({}, {"alpha": 0.01}, "(alpha was 0.001, is 0.01)"),
        ({}, {"n0": 50}, "(n0 was 100, is 50)"),
        ({}, {"noise": "discrete"}, "(noise was 'gaussian', is 'discrete')"),
        ({}, {"backend": "torch-cuda-float32"}, "(backend was 'torch-cpu-float32', is 'torch-cuda-float32')"),
        ({}, {"stopping": FixedSample(300)}, "(n was 200, is 300)"),
        ({}, {"stopping": FixedSample(200, "simultaneous")}, "(bound was 'clopper-pearson', is 'simultaneous')"),
        ({}, AT_HALF, "stopping was 'fixed', is 'at-radius'"),
        (AT_HALF, {"stopping": AtRadius(0.25, max_n=200)}, "radius was 0.5, is 0.25)"),
        (AT_HALF, {"stopping": AtRadius(0.5, max_n=300)}, "(n was 200, is 300)"),
        (AT_HALF, ANYTIME, "radius was 0.5, is None"),
        (ANYTIME, {"stopping": Anytime(max_n=200, tolerance=0.2)}, "(tolerance was 0.1, is 0.2)"),
        ({}, {"indices": [0, 1, 2]}, "contains images that"),
    ],
)
def test_a_log_of_another_run_is_not_gone_on_with(begun, change, said, certify, tmp_path):
    certify(indices=INDICES[:2], **begun)
    before = (tmp_path / "log.tsv").read_bytes()
    with pytest.raises(LogError, match=re.escape(said)):
        certify(**{**begun, **change})
    assert (tmp_path / "log.tsv").read_bytes() == before


def test_a_log_whose_run_is_not_recorded_is_not_gone_on_with(certify, tmp_path):
    certify(indices=INDICES[:2])
    run_record_path(tmp_path / "log.tsv").unlink()
    with pytest.raises(LogError, match="record of its run is missing"):
        certify()


def test_accuracy_under_noise_depends_on_the_seed_but_not_on_the_batch_size(digits_checkpoint, digits):
    network = digits_checkpoint.load_network().train()
    base = TorchBackend(network, num_classes=10)
    images = EvaluationImages(digits.test, digits_checkpoint.spec.preprocessing)

    def accuracy(sigma, *, batch_size=128, seed=0):
        correct = num_correct_under_noise(
            base.classify, images, range(len(images)), num_classes=10, sigma=sigma, batch_size=batch_size, seed=seed
        )
        return correct / len(images)

    assert accuracy(0.5) == accuracy(0.5, batch_size=50)
    assert accuracy(0.0) > 0.85 and accuracy(0.5) > 0.85 > accuracy(3.0)
    assert network.training
