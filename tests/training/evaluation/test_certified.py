"""Certifying a test set: a row an image, the same rows after any interruption, never another run's."""

import pytest
import torch
from rich.console import Console

from training.evaluation.certified import CertificationRun, certify_images, run_record_path, select_indices
from training.evaluation.empirical import accuracy_under_noise
from training.tasks import open_task
from training.tasks.loading import EvaluationImages
from zoo.errors import LogError
from zoo.results.log import read_log
from zoo.smoothing import SamplingOptions, SmoothingSpec, TorchBackend

QUIET = Console(quiet=True)
INDICES = list(range(0, 40, 5))


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return open_task("digits", data_dir=tmp_path_factory.mktemp("data"))


@pytest.fixture
def certify(digits_checkpoint, digits, tmp_path):
    """Certifies a few digits into a log; keywords change the run."""
    base = TorchBackend(digits_checkpoint.load_network(), num_classes=10)

    def run(
        output="log.tsv", *, indices=INDICES, base=base, sha=digits_checkpoint.weights_sha256, data="", seed=0, n=200
    ):
        preprocessing = digits_checkpoint.spec.preprocessing
        run = CertificationRun(
            model_sha256=sha,
            preprocessing=preprocessing,
            task="digits",
            data=data,
            smoothing=SmoothingSpec(sigma=0.5, n=n),
            backend="torch-cpu-float32",
            seed=seed,
        )
        path = tmp_path / output
        options = SamplingOptions(batch_size=64)
        return certify_images(run, base, digits.test, indices, output=path, options=options, console=QUIET)

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


def test_an_interrupted_certification_ends_with_the_rows_of_one_that_was_not(certify, tmp_path, digits_checkpoint):
    whole = certify("whole.tsv")

    class Dying(TorchBackend):
        calls = 0

        def classify(self, x_BCHW):
            self.calls += 1
            if self.calls > 17:
                raise KeyboardInterrupt
            return super().classify(x_BCHW)

    with pytest.raises(KeyboardInterrupt):
        certify("cut.tsv", base=Dying(digits_checkpoint.load_network(), num_classes=10))
    cut = tmp_path / "cut.tsv"
    assert 0 < len(read_log(cut)) < len(INDICES)
    with cut.open("a") as file:
        file.write("99\t4\t4\t0.12")  # a kill in the middle of a write
    assert told(certify("cut.tsv")) == told(whole)
    assert told(read_log(cut)) == told(whole)


def test_a_finished_log_is_not_drawn_for_again(certify):
    rows = certify()

    class Untouchable(TorchBackend):
        def classify(self, x_BCHW):
            raise AssertionError("nothing should be drawn")

    assert certify(base=Untouchable(torch.nn.Identity(), num_classes=10)) == rows


def test_more_images_can_be_certified_into_the_same_log(certify):
    few = certify(indices=INDICES[:3])
    assert certify()[:3] == few


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"sha": "f" * 64}, "model_sha256 was"),
        ({"data": "grown"}, "data was '', is 'grown'"),
        ({"seed": 1}, "seed was 0, is 1"),
        ({"n": 300}, "n was 200, is 300"),
        ({"indices": [0, 1, 2]}, "holds other images"),
    ],
)
def test_a_log_of_another_run_is_not_gone_on_with(change, said, certify, tmp_path):
    certify(indices=INDICES[:2])
    before = (tmp_path / "log.tsv").read_bytes()
    with pytest.raises(LogError, match=said):
        certify(**change)
    assert (tmp_path / "log.tsv").read_bytes() == before


def test_a_log_whose_run_is_not_recorded_is_not_gone_on_with(certify, tmp_path):
    certify(indices=INDICES[:2])
    run_record_path(tmp_path / "log.tsv").unlink()
    with pytest.raises(LogError, match="record of its run is missing"):
        certify()


def test_images_are_chosen_as_cohens_skip_and_max_do():
    assert select_indices(10, skip=3, maximum=None) == [0, 3, 6, 9]
    assert select_indices(10, skip=3, maximum=6) == [0, 3]
    assert select_indices(4, skip=1, maximum=100) == [0, 1, 2, 3]


def test_accuracy_under_noise_depends_on_the_seed_but_not_on_the_batch_size(digits_checkpoint, digits):
    network = digits_checkpoint.load_network().train()
    images = EvaluationImages(digits.test, digits_checkpoint.spec.preprocessing)

    def accuracy(sigma, *, batch_size=128, seed=0):
        device = torch.device("cpu")
        return accuracy_under_noise(network, images, sigma=sigma, device=device, batch_size=batch_size, seed=seed)

    assert accuracy(0.5) == accuracy(0.5, batch_size=50)
    assert accuracy(0.0) > 0.85 and accuracy(0.5) > 0.85 > accuracy(3.0)
    assert network.training
