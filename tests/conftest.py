"""Shared fixtures, and settings that must be made before any test module is imported."""

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest

# Several processes share the cores (tests/parallel.py), and spinning threads would take the cores from the others: a
# test on two threads then takes four times the processor time. The number of threads also determines the last bits of
# trained weights, so processes that tests start inherit it.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OMP_WAIT_POLICY"] = "passive"
# huggingface_hub reads these once, at its first import; tests must not see the user's cache or login.
os.environ.setdefault("HF_HUB_DISABLE_XET", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
os.environ["HF_HOME"] = tempfile.mkdtemp(prefix="hf_home_")
# httpx reads all root certificates for every client that trusts the environment, which takes ten times as long as a
# request to this machine. Only tests/foreign_environment.py asks another one.
os.environ.setdefault("OWN_SSL_CERT_FILE", os.environ.pop("SSL_CERT_FILE", ""))
os.environ["SSL_CERT_DIR"] = os.environ["HF_HOME"]  # a folder without certificates
if "PYTEST_XDIST_WORKER" not in os.environ:  # the processes share it, so that each exported network is exported once
    os.environ["ZOO_CACHE_DIR"] = tempfile.mkdtemp(prefix="zoo_cache_")

import hypothesis
from rich.console import Console

from tests.loopback_hub import LoopbackHub
from tests.parallel import (
    IS_WORKER,
    alone,
    computing_on,
    machine,
    made_once,
    pytest_collection_modifyitems,
    pytest_xdist_make_scheduler,
    two_threads,
)
from zoo.checkpoints.checkpoint import Checkpoint, open_checkpoint
from zoo.cli.app import main

__all__ = [  # pytest finds them here
    "alone",
    "machine",
    "pytest_collection_modifyitems",
    "pytest_xdist_make_scheduler",
    "two_threads",
]


def pytest_configure() -> None:
    """Heeds two signals that tests send. A shell starts background jobs, and so their children, with both ignored."""
    for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGQUIT, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)


def pytest_unconfigure() -> None:
    """Removes this process's HF_HOME, and ZOO_CACHE_DIR where this process made it."""
    for name in ("HF_HOME",) if IS_WORKER else ("HF_HOME", "ZOO_CACHE_DIR"):
        shutil.rmtree(os.environ[name], ignore_errors=True)


# A busy machine must not fail a property: hypothesis would measure the time of every example.
hypothesis.settings.register_profile("without-deadline", deadline=None)
hypothesis.settings.load_profile("without-deadline")


@pytest.fixture(scope="session")
def digits_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """A small network trained for five quick epochs on digits with consistency, sigma 0.5; takes about 12 seconds."""
    import torch  # here, because the process that only distributes the tests needs no torch

    from training.objectives.consistency import Consistency
    from training.recipe import override
    from training.recipes import quick
    from training.run import TrainingRun
    from training.tasks import open_task
    from training.trainer import train

    recipe = override(quick(Consistency()), ["architecture=resnet10-quarter", "epochs=5"])

    def make(folder: Path) -> None:
        task = open_task("digits", data_dir=folder)
        run = TrainingRun(task=task, recipe=recipe, seed=0, output=folder / "checkpoint")
        with computing_on(num_threads=1):  # like the processes whose weights must be equal
            train(run, device=torch.device("cpu"), resume=False, console=Console(quiet=True))

    return open_checkpoint(made_once("trained_digits", make, tmp_path_factory) / "checkpoint")


@pytest.fixture(scope="session")
def certified_digits(digits_checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """The digits checkpoint with a recorded certification of 120 of 359 images with 100 draws each."""
    from training.evaluation.certification import certify_images
    from training.evaluation.certification_log import certification_run
    from training.evaluation.recording import record_certification
    from training.tasks import open_task
    from zoo.loading.backend import open_backend
    from zoo.results.selection import Selection
    from zoo.smoothing import SamplingOptions, SmoothingSpec

    def make(folder: Path) -> None:
        copied = shutil.copytree(digits_checkpoint.path, folder / "digits", ignore=shutil.ignore_patterns(".run"))
        checkpoint, task = open_checkpoint(copied), open_task("digits", data_dir=folder)
        base, options = open_backend(checkpoint, backend="torch"), SamplingOptions(batch_size=256)
        smoothing = SmoothingSpec(sigma=0.5, n0=20, n=100)
        run = certification_run(checkpoint, task, smoothing=smoothing, base=base, options=options, seed=0)
        selection, quiet = Selection(skip=3), Console(quiet=True)
        indices = selection.of(task.test.labels)
        rows = certify_images(run, base, task.test, indices, output=folder / "log.tsv", options=options, console=quiet)
        record_certification(checkpoint, run, rows, selection=selection)

    return open_checkpoint(made_once("certified_digits", make, tmp_path_factory) / "digits")


@pytest.fixture(scope="session")
def exported_digits(digits_checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `zoo export copy digits.onnx --record --json` wrote: the copy, the file, and what was printed as out.json.

    The exporter takes some five seconds.
    """

    def make(folder: Path) -> None:
        shutil.copytree(digits_checkpoint.path, folder / "copy", ignore=shutil.ignore_patterns(".run"))
        words = ["zoo", "export", str(folder / "copy"), str(folder / "digits.onnx"), "--record", "--json"]
        with (folder / "out.json").open("w") as out, redirect_stdout(out), pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", words)
            with pytest.raises(SystemExit) as ended:
                main()
        assert not ended.value.code

    return made_once("exported_digits", make, tmp_path_factory)


@pytest.fixture
def copy_of_certified(certified_digits: Checkpoint, tmp_path: Path) -> Path:
    """A copy of the certified digits checkpoint that a test may damage."""
    return Path(shutil.copytree(certified_digits.path, tmp_path / "certified"))


@pytest.fixture
def copy_of_digits(digits_checkpoint: Checkpoint, tmp_path: Path) -> Path:
    """A copy of the digits checkpoint that a test may damage."""
    return Path(shutil.copytree(digits_checkpoint.path, tmp_path / "copy", ignore=shutil.ignore_patterns(".run")))


@pytest.fixture
def hub() -> Iterator[LoopbackHub]:
    """A Hub on this machine, where alice and bob have accounts."""
    with LoopbackHub(tokens={"hf_alice": "alice", "hf_bob": "bob"}) as hub:
        yield hub


@dataclass(frozen=True)
class Finished:
    """The exit code, stdout and stderr of a command."""

    code: int
    out: str
    err: str


@pytest.fixture
def zoo_command(capsys: pytest.CaptureFixture[str]) -> Callable[..., Finished]:
    """A function that runs `zoo WORDS...` in this process, through the console script's entry point."""

    def run(*words: object) -> Finished:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended, pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["zoo", *(str(word) for word in words)])
            main()
        captured = capsys.readouterr()
        return Finished(int(ended.value.code or 0), captured.out, captured.err)

    return run
